//! `custody keeper`: one session's keeper.

use std::process::ExitCode;

use custody_keeper::Setup;
use custody_model::ErrorCode;

use crate::cli::KeeperArgs;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// Keeps the session to its end.
pub fn run(wire: &Wire, args: &KeeperArgs) -> Result<ExitCode, Failure> {
    let session = args.session.parse().explain(ErrorCode::Usage, "--session")?;
    let settings = wire.sources.handed_down().map_err(super::config::failure)?.settings;
    let driver = wire.driver()?;
    let setup = Setup {
        state: wire.state.clone(),
        session,
        driver: &driver,
        clock: wire.clock.clone(),
        vault: wire.vault(&settings.vault)?,
        waits: settings.disk.waits(),
        hashed_outside: settings.observe.outside_file.0,
    };
    match custody_keeper::run(setup) {
        Ok(_ended) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let code = error.code();
            Err(Failure::of(code, format!("session {session} can't be kept"), error))
        }
    }
}
