//! `custody erase`: the content of a session that is over.

use std::process::ExitCode;

use super::session;
use crate::cli::EraseArgs;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output;
use crate::wire::Wire;

/// Erases, and says what is left.
pub fn run(wire: &Wire, args: &EraseArgs) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let found = session::named(&server, &args.session)?;
    let erased = server.wait(server.client().erase(found.id, &args.reason))?;
    output::result(wire.format, &erased, || {
        format!("the content of session {} is erased; its record still verifies\n", erased.id)
    })?;
    Ok(ExitCode::SUCCESS)
}
