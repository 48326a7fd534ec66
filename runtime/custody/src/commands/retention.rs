//! `custody hold`, `custody release`, `custody retention` and `custody sweep`: how long content stays.

use std::process::ExitCode;

use custody_api_types::retention::{RetentionQuery, Sweep, SweepRetention};
use custody_api_types::session::Session;
use custody_model::ErrorCode;

use super::session;
use crate::cli::{HoldArgs, ReleaseArgs, RetentionCommand, RetentionListArgs, SweepArgs};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// Holds a session, and says until when its class would keep it.
pub fn hold(wire: &Wire, args: &HoldArgs) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let found = session::named(&server, &args.session)?;
    let held = server.wait(server.client().hold(found.id, &args.reason))?;
    said(wire, &held, "is held: nothing erases its content")
}

/// Releases a session, and says until when its class keeps it.
pub fn release(wire: &Wire, args: &ReleaseArgs) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let found = session::named(&server, &args.session)?;
    let released = server.wait(server.client().release(found.id, &args.reason))?;
    let what = match released.retention.as_ref().is_some_and(|kept| kept.held.is_some()) {
        true => "is not held itself any more; its project's policy holds it",
        false => "is not held",
    };
    said(wire, &released, what)
}

fn said(wire: &Wire, session: &Session, what: &str) -> Result<ExitCode, Failure> {
    output::result(wire.format, session, || {
        format!("session {} {what}\n{}", session.id, render::session::retention(session))
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `custody retention …`.
pub fn run(wire: &Wire, command: RetentionCommand) -> Result<ExitCode, Failure> {
    match command {
        RetentionCommand::List(args) => list(wire, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(wire: &Wire, args: RetentionListArgs) -> Result<(), Failure> {
    let server = Connection::open(wire)?;
    let query = RetentionQuery {
        project: args.project,
        due: args.due,
        held: args.held,
        ..RetentionQuery::default()
    };
    let sessions = server.wait(server.client().retention(&query).take(Some(args.limit)))?;
    output::result(wire.format, &sessions, || render::session::retentions(&sessions))
}

/// Erases what is due, or says what is.
pub fn sweep(wire: &Wire, args: &SweepArgs) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    let asked = SweepRetention { dry_run: args.dry_run, clock_is_right: args.clock_is_right };
    let swept = server.wait(server.client().sweep(&asked))?;
    output::result(wire.format, &swept, || page(&swept))?;
    Ok(match swept.failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ErrorCode::Io.exit_code()),
    })
}

fn page(swept: &Sweep) -> String {
    let sessions = render::count(swept.erased.len(), "session", "sessions");
    let mut page = match swept.dry_run {
        true => format!("the content of {sessions} would be erased\n"),
        false => format!("the content of {sessions} is erased\n"),
    };
    for id in &swept.erased {
        page.push_str(&format!("  {id}\n"));
    }
    for failed in &swept.failed {
        let reason = render::tame(&failed.reason);
        page.push_str(&format!("not erased: {}: {reason}\n", failed.session));
    }
    if swept.more {
        page.push_str("more is due: the next pass goes on\n");
    }
    page
}
