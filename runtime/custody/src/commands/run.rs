//! `custody run`: one session, from this checkout to its branch.

mod ask;
mod progress;

use std::process::ExitCode;

use custody_api_types::attach::Ended;
use custody_api_types::session::Session;
use custody_investigate::Summary;
use custody_model::state::session::SessionState;
use custody_model::{ErrorCode, SessionId};
use custody_record::event::{ClosingCode, ExitStatus, Outcome};
use serde_json::json;

use super::repo;
use crate::cli::{Format, RunArgs};
use crate::connect::{Connection, Target};
use crate::console;
use crate::failure::{Explain, Failure};
use crate::watch::{Watch, Watched};
use crate::wire::Wire;
use crate::{output, render, watch};

pub use progress::Progress;

/// The exit code where nobody read the output any more: 128 and the number of SIGPIPE.
const UNREAD: u8 = 141;

/// The exit code of who pressed Ctrl-C while the session waited: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// Refuses what needs every right on the machine.
pub fn only_as_root(what: &str) -> Result<(), Failure> {
    if nix::unistd::Uid::effective().is_root() {
        return Ok(());
    }
    let message = format!(
        "{what} has to be root: the workspace is watched through its superblock, which needs CAP_SYS_ADMIN"
    );
    Err(Failure::new(ErrorCode::EnvironmentLacks, message)
        .hint("use sudo; `custody doctor` says what this machine offers"))
}

/// Runs the session and exits as its command did.
pub fn run(wire: &Wire, args: RunArgs) -> Result<ExitCode, Failure> {
    let repository = repo::read(args.repo.as_deref());
    let server = Connection::open(wire)?;
    if *server.target() == Target::Embedded {
        only_as_root("custody run")?;
    }
    let mut progress = Progress::new(!args.quiet && wire.format == Format::Text);
    progress.say("reading the repository");
    let window = if args.no_terminal { None } else { console::window() };
    let asked = ask::request(&server, &args, repository, window)?;
    let key = match &args.idempotency_key {
        Some(key) => key.clone(),
        None => wire.new_session()?.to_string(),
    };
    let broken = "the terminal can't be used";
    // Before the request: Ctrl-C takes back what was asked for. While it is on its way nobody knows what that is, so the answer
    // is waited for; who insists leaves without it.
    let mut listening = console::listen(asked.input).explain(ErrorCode::Io, broken)?;
    let mut leaving = None;
    let session = server.block_on(async {
        let mut answer = std::pin::pin!(server.client().create_session(&key, &asked));
        loop {
            tokio::select! {
                session = &mut answer => return session.map_err(|error| server.explain(error)),
                act = watch::interrupted(&mut listening.acts) => {
                    if leaving.replace(act).is_some() {
                        return Err(unanswered(&key));
                    }
                    progress.say("taking the request back, once it is answered");
                }
            }
        }
    });
    let session = session.map_err(|failure| {
        match (asked.base == "HEAD", failure.field.as_deref() == Some("base")) {
            (true, true) => failure
                .hint("a session starts from a commit: commit something first, or use --dirty"),
            (false, true) => failure
                .hint("--base takes a branch, a tag or a commit, as `git log --all` shows them"),
            (true | false, false) => failure,
        }
    })?;
    if let Some(act) = &leaving
        && server.block_on(watch::take_back(server.client(), session.id, act))?
    {
        progress.clear();
        return Ok(taken_back(&args, session.id));
    }
    if args.detach {
        let session = server.begun(session)?;
        progress.clear();
        return detached(wire, &server, &session);
    }
    let watch = Watch {
        client: server.client(),
        session: session.id,
        terminal: window.is_some(),
        listening: Some(listening),
        own: true,
    };
    let watched = server.block_on(watch.follow(&mut progress));
    progress.clear();
    match watched? {
        Watched::Ended(ended) => finish(wire, &server, &args, session.id, &ended),
        Watched::Unread(ended) => {
            let _stopped = finish(wire, &server, &args, session.id, &ended)?;
            Ok(ExitCode::from(UNREAD))
        }
        Watched::Cancelled => Ok(taken_back(&args, session.id)),
    }
}

fn taken_back(args: &RunArgs, session: SessionId) -> ExitCode {
    if !args.quiet {
        eprintln!("custody: session {session} was taken back before it ran");
    }
    ExitCode::from(INTERRUPTED)
}

/// Somebody left while the request was on its way.
fn unanswered(key: &str) -> Failure {
    Failure::new(ErrorCode::Unavailable, "the request was not answered yet: there may be a session")
        .hint(format!(
            "`custody session list` shows it; the same command with --idempotency-key {key} asks for no second session"
        ))
}

fn detached(wire: &Wire, server: &Connection, session: &Session) -> Result<ExitCode, Failure> {
    output::result(wire.format, session, || session.id.to_string())?;
    let waits = render::session::waits_for(session);
    if let Some(what) = waits.filter(|_| *server.target() == Target::Embedded) {
        eprintln!(
            "custody: it waits for {what}; the next command on this state, or a server, looks after it"
        );
    }
    Ok(match &session.state {
        SessionState::Refused { reason, .. } => {
            eprintln!("custody: session {} is refused: {reason}", session.id);
            ExitCode::from(ErrorCode::PolicyRefused.exit_code())
        }
        SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Queued { .. }
        | SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. }
        | SessionState::Sealed { .. }
        | SessionState::Failed { .. }
        | SessionState::Interrupted { .. }
        | SessionState::Lost { .. } => ExitCode::SUCCESS,
    })
}

fn finish(
    wire: &Wire,
    server: &Connection,
    args: &RunArgs,
    session: SessionId,
    ended: &Ended,
) -> Result<ExitCode, Failure> {
    // Of a session without a record there is nothing to sum up.
    let summary = server.wait(server.client().summary(session)).ok();
    if wire.format == Format::Json {
        let value = json!({ "session": session, "ended": ended, "summary": summary });
        let line = serde_json::to_string_pretty(&value)
            .explain(ErrorCode::Internal, "the summary has no JSON form")?;
        eprintln!("{line}");
    } else if !args.quiet
        && let Some(summary) = &summary
    {
        eprint!("{}", epilogue(summary));
    }
    exit(session, ended)
}

/// The exit codes of a command whose program can't be run or is not there, as shells have them (POSIX.1-2024, XCU 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What a session is stopped with first.
const SIGTERM: u8 = 15;

/// The exit code of a session's command, or why there is none.
pub fn exit(session: SessionId, ended: &Ended) -> Result<ExitCode, Failure> {
    let show = format!("`custody session show {session}` says what is on record");
    if (ended.outcome, ended.code) == (Outcome::Stopped, Some(ClosingCode::LimitReached)) {
        let message = format!("session {session} reached a limit: {}", ended.reason);
        return Err(Failure::new(ErrorCode::LimitReached, message).hint(show));
    }
    Ok(match (ended.outcome, ended.exit) {
        (Outcome::Completed | Outcome::Stopped, Some(ExitStatus::Code(code))) => {
            ExitCode::from(code)
        }
        (Outcome::Completed | Outcome::Stopped, Some(ExitStatus::Signal(signal))) => {
            ExitCode::from(128_u8.saturating_add(signal))
        }
        (Outcome::Refused, _) => {
            let message = format!("session {session} is refused: {}", ended.reason);
            let hint = format!("{show}; `custody policy explain` says what else would be allowed");
            return Err(Failure::new(ErrorCode::PolicyRefused, message).hint(hint));
        }
        (Outcome::Interrupted, _) => {
            let message = format!("the keeper of session {session} died: {}", ended.reason);
            return Err(Failure::new(ErrorCode::Internal, message).hint(show));
        }
        // It was made to end, and nobody saw how.
        (Outcome::Stopped, None) => ExitCode::from(128 + SIGTERM),
        // The command's program is not there or can't be run: the code is what a shell would have given.
        (Outcome::Failed, Some(ExitStatus::Code(code @ (NOT_EXECUTABLE | NOT_FOUND)))) => {
            eprintln!("custody: {}\n  {show}", ended.reason);
            ExitCode::from(code)
        }
        (Outcome::Completed | Outcome::Failed, _) => {
            return Err(Failure::new(ErrorCode::EnvironmentLacks, ended.reason.clone()).hint(show));
        }
    })
}

fn epilogue(summary: &Summary) -> String {
    let id = summary.session.to_string();
    let mut text = format!("\ncustody: session {id} {}\n", render::summary::state(summary));
    text.push_str(&render::summary::activity(summary));
    if summary.commits.is_empty() && !summary.violations.is_empty() {
        text.push_str("  no changes came out of it; the reasons are listed above\n");
    } else if summary.commits.is_empty() {
        text.push_str("  no changes came out of it\n");
    } else {
        text.push_str(&format!("  take it over   custody session apply {id}\n"));
    }
    text.push_str(&format!("  look closer    custody session show {id}\n"));
    text
}

#[cfg(test)]
mod tests {
    use custody_model::{LimitName, Timestamp};

    use super::*;

    /// The exit code of a session that ended so.
    fn code(outcome: Outcome, code: ClosingCode, exit: Option<ExitStatus>) -> ExitCode {
        let limit = (code == ClosingCode::LimitReached).then_some(LimitName::WallSeconds);
        let ended = Ended { outcome, code: Some(code), limit, reason: "why".to_owned(), exit };
        let session = SessionId::new(Timestamp::from_micros(0), [0; 10]);
        super::exit(session, &ended)
            .unwrap_or_else(|failure| ExitCode::from(failure.code.exit_code()))
    }

    #[test]
    fn a_session_exits_with_its_commands_code_or_with_what_ended_it() {
        let (term, three) = (Some(ExitStatus::Signal(15)), Some(ExitStatus::Code(3)));
        let table = [
            (Outcome::Completed, ClosingCode::CommandEnded, three, 3),
            (Outcome::Completed, ClosingCode::CommandEnded, Some(ExitStatus::Signal(9)), 137),
            (Outcome::Stopped, ClosingCode::LimitReached, term, 73),
            (Outcome::Stopped, ClosingCode::LimitReached, three, 73),
            (Outcome::Stopped, ClosingCode::LimitReached, None, 73),
            (Outcome::Stopped, ClosingCode::Asked, term, 143),
            (Outcome::Stopped, ClosingCode::Asked, None, 143),
            (Outcome::Stopped, ClosingCode::KeeperTerminated, term, 143),
            (Outcome::Refused, ClosingCode::Refused, None, 64),
            (Outcome::Failed, ClosingCode::CommandNotRun, Some(ExitStatus::Code(127)), 127),
            (Outcome::Failed, ClosingCode::NotProvisioned, None, 70),
            (Outcome::Failed, ClosingCode::OutputsFailed, three, 70),
            (Outcome::Interrupted, ClosingCode::KeeperDied, None, 75),
        ];
        for (outcome, closing, exit, wanted) in table {
            let found = code(outcome, closing, exit);
            assert_eq!(found, ExitCode::from(wanted), "{outcome:?} {closing:?} {exit:?}");
        }
    }
}
