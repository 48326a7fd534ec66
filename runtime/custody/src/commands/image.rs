//! `custody image`.

use std::process::ExitCode;

use crate::cli::ImageCommand;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output;
use crate::wire::Wire;

/// `custody image list`.
pub fn run(wire: &Wire, command: ImageCommand) -> Result<ExitCode, Failure> {
    let ImageCommand::List = command;
    let server = Connection::open(wire)?;
    let images = server.wait(server.client().images().take(None))?;
    output::result(wire.format, &images, || {
        images.iter().map(|image| image.name.as_str()).collect::<Vec<_>>().join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
