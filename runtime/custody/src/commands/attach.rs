//! `custody attach`: the output of a session that runs, and what is typed into it.

use std::process::ExitCode;

use custody_model::ErrorCode;

use super::run::{Progress, exit};
use crate::cli::{AttachArgs, Format};
use crate::connect::Connection;
use crate::console;
use crate::failure::{Explain, Failure};
use crate::watch::{Watch, Watched};
use crate::wire::Wire;

/// Attaches until the session ends, and exits as its command did.
pub fn run(wire: &Wire, args: &AttachArgs) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let session = server.wait(server.client().session(&args.session))?;
    if session.state.is_final() {
        let message = format!("session {} is over", session.id);
        return Err(Failure::new(ErrorCode::Conflict, message)
            .hint(format!("`custody session play {}` shows what it printed", session.id)));
    }
    let broken = "the terminal can't be used";
    let (mut terminal, mut listening) = (false, None);
    if !args.read_only {
        terminal = console::window().is_some();
        let listen = console::listen(console::has_input()).explain(ErrorCode::Io, broken)?;
        listening = Some(listen);
    }
    let watch =
        Watch { client: server.client(), session: session.id, terminal, listening, own: false };
    let mut progress = Progress::new(wire.format == Format::Text);
    let watched = server.block_on(watch.follow(&mut progress));
    progress.clear();
    match watched? {
        Watched::Ended(ended) | Watched::Unread(ended) => exit(session.id, &ended),
        Watched::Cancelled => Ok(ExitCode::from(ErrorCode::PolicyRefused.exit_code())),
    }
}
