//! `custody reindex`: the index, made anew from the logs while nobody uses it.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use custody_control::reindex::Reindexed;
use custody_model::{ErrorCode, SessionId};
use custody_session::{lost, records};
use serde::Serialize;

use crate::cli::{Format, ReindexArgs};
use crate::failure::{Explain, Failure};
use crate::server::{IndexLock, open_plane};
use crate::wire::Wire;
use crate::{connect, output};

/// Sessions between two looks at the progress.
const STEP: u64 = 16;

/// What was made, and what was found missing.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    made: Reindexed,
    /// Sessions that were found to be lost.
    lost: Vec<SessionId>,
}

/// Makes the index anew.
pub fn run(wire: &Wire, args: &ReindexArgs) -> Result<ExitCode, Failure> {
    let config = wire.config()?;
    if !wire.state.control().exists() {
        let message = format!("{} has no control log", wire.state.path().display());
        return Err(Failure::new(ErrorCode::NotFound, message));
    }
    let _lock = IndexLock::alone(&wire.state)?;
    let shown = !args.quiet && wire.format == Format::Text && std::io::stderr().is_terminal();
    let runtime = connect::runtime()?;
    let done = runtime.block_on(async {
        let (plane, _) = open_plane(wire, &config.settings).await?;
        // The oldest first: who looks meanwhile sees a past, and not a part.
        let mut sessions =
            records::all(&wire.state).explain(ErrorCode::Io, "the sessions can't be listed")?;
        sessions.reverse();
        let total = sessions.len();
        let (state, progress) = (&wire.state, |done: u64| {
            if shown && done.is_multiple_of(STEP) {
                // A step that can't be shown is no reason to fail.
                let _closed =
                    write!(std::io::stderr(), "\r\x1b[Kcustody: {done} of {total} sessions …");
            }
        });
        let records = |session| state.session(session).record();
        let done = plane.reindex(sessions, &records, &progress).await;
        let done =
            done.map_err(|error| Failure::of(error.code(), "the index is not complete", error))?;
        // What the control log knows as launched and nobody can have: nobody may take it for one that waits to be launched.
        let lost = lost::find(&wire.state, &plane).await;
        let lost = lost.map_err(|error| {
            Failure::of(error.code(), "lost sessions can't be looked for", error)
        })?;
        let integrated = plane.integrate().await;
        integrated
            .map_err(|error| Failure::of(error.code(), "the control log is not signed", error))?;
        Ok::<_, Failure>(Done { made: done, lost })
    })?;
    if shown {
        let _closed = write!(std::io::stderr(), "\r\x1b[K");
    }
    output::result(wire.format, &done, || {
        let mut text = format!(
            "{} events of the control log, {} sessions with {} events\n",
            done.made.control_events, done.made.sessions, done.made.session_events
        );
        for session in &done.lost {
            text.push_str(&format!(
                "session {session} is lost: a keeper may have run it, and its record is gone; it is not run again\n"
            ));
        }
        for (session, reason) in &done.made.unreadable {
            text.push_str(&format!("session {session} can't be read: {reason}\n"));
        }
        text
    })?;
    Ok(match done.made.unreadable.is_empty() && done.lost.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ErrorCode::VerificationFailed.exit_code()),
    })
}
