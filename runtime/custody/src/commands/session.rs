//! `custody session`: look at sessions, decide about them, and take their results over.

mod apply;
mod decide;
mod events;
mod export;
mod files;
mod play;
mod watch;

use std::process::ExitCode;

use custody_api_types::retention::Retention;
use custody_api_types::session::{Erased, Session, SessionQuery};
use custody_investigate::Summary;
use custody_model::ErrorCode;
use serde::Serialize;
use serde_json::json;

pub(in crate::commands) use export::{download, save};

use crate::cli::{Format, ListArgs, SessionArg, SessionCommand};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// Longest diff and recording that are read into memory, in bytes.
const MAX_DOWNLOAD_BYTES: usize = 1 << 30;

/// `custody session …`.
pub fn run(wire: &Wire, command: SessionCommand) -> Result<ExitCode, Failure> {
    let server = Connection::open(wire)?;
    match command {
        SessionCommand::List(args) => list(wire, &server, args)?,
        SessionCommand::Show(arg) => show(wire, &server, &arg)?,
        SessionCommand::Events { session, types, path, from, limit } => {
            let wanted = events::Wanted { types, path, from, limit };
            events::events(wire, &server, &find(&server, &session)?, &wanted)?;
        }
        SessionCommand::Files(arg) => files::files(wire, &server, &find(&server, &arg)?)?,
        SessionCommand::Diff(arg) => diff(wire, &server, &find(&server, &arg)?)?,
        SessionCommand::Play { session, speed, idle, cast } => {
            let session = find(&server, &session)?;
            let recording = server.wait(async {
                server.client().terminal(session.id).await?.bytes(MAX_DOWNLOAD_BYTES).await
            })?;
            play::play(&recording, speed, idle, cast)?;
        }
        SessionCommand::Apply { session, fetch_only } => {
            apply::apply(wire, &server, &find(&server, &session)?, fetch_only)?;
        }
        SessionCommand::Watch { session, from } => {
            return watch::watch(wire, &server, &find(&server, &session)?, from);
        }
        SessionCommand::Approve { session, comment } => {
            decide::approve(wire, &server, &find(&server, &session)?, &comment)?;
        }
        SessionCommand::Reject { session, reason } => {
            decide::reject(wire, &server, &find(&server, &session)?, &reason)?;
        }
        SessionCommand::Stop { session, reason } => {
            decide::stop(wire, &server, &find(&server, &session)?, &reason)?;
        }
        SessionCommand::Signal { session, signal } => {
            decide::signal(wire, &server, &find(&server, &session)?, signal)?;
        }
        SessionCommand::Outputs(arg) => outputs(wire, &server, &find(&server, &arg)?)?,
        SessionCommand::Export { session, file } => {
            export::export(wire, &server, &find(&server, &session)?, file.as_deref())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The session that is meant.
pub fn find(server: &Connection, arg: &SessionArg) -> Result<Session, Failure> {
    named(server, &arg.session)
}

/// The session that a text means: an id, the beginning of one, or `last`.
pub fn named(server: &Connection, text: &str) -> Result<Session, Failure> {
    server.wait(server.client().session(text)).map_err(|failure| match failure.code {
        ErrorCode::NotFound if text == "last" => {
            failure.hint("there is none yet; `custody run -- COMMAND` makes one")
        }
        ErrorCode::NotFound => failure.hint("`custody session list` shows those that you may see"),
        _ => failure,
    })
}

fn list(wire: &Wire, server: &Connection, args: ListArgs) -> Result<(), Failure> {
    let query = SessionQuery {
        project: args.project,
        requester: args.requester,
        repository: args.repo,
        state: args.states,
        since: args.since,
        until: args.until,
        ..SessionQuery::default()
    };
    let sessions = server.wait(server.client().sessions(&query).take(args.limit))?;
    output::result(wire.format, &sessions, || render::session::list(&sessions))
}

fn show(wire: &Wire, server: &Connection, arg: &SessionArg) -> Result<(), Failure> {
    let session = find(server, arg)?;
    match server.wait(server.client().summary(session.id)) {
        Ok(summary) => output::result(wire.format, &Shown::of(&summary, &session), || {
            let mut page = render::summary::page(&summary);
            if !session.state.is_final() {
                page.push_str(&format!("\n{}", render::session::standing(&session)));
            }
            let retention = render::session::retention(&session);
            if !retention.is_empty() {
                page.push_str(&format!("\n{retention}"));
            }
            page.push_str(&render::session::erased(&session));
            page.push_str(&render::session::lost(&session));
            if let Some(assurance) = &summary.witnesses {
                let statement = render::tame(&assurance.statement);
                page.push_str(&format!("\nwitnesses   {statement}\n"));
            }
            page
        }),
        // It waits, or its record is yet to begin.
        Err(failure)
            if failure.code == ErrorCode::NotFound
                || !session.state.is_final()
                || render::session::is_lost(&session) =>
        {
            output::result(wire.format, &session, || {
                let mut page = render::session::request(&session);
                page.push_str(&render::session::standing(&session));
                page.push_str(&render::session::retention(&session));
                page.push_str(&render::session::lost(&session));
                page
            })
        }
        Err(failure) => Err(failure),
    }
}

/// The summary of its record, and what its record does not tell.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<&'a Retention>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<&'a Erased>,
}

impl<'a> Shown<'a> {
    fn of(summary: &'a Summary, session: &'a Session) -> Self {
        let (retention, erased) = (session.retention.as_ref(), session.erased.as_ref());
        Self { summary, retention, erased }
    }
}

fn diff(wire: &Wire, server: &Connection, session: &Session) -> Result<(), Failure> {
    let id = session.id;
    match wire.format {
        Format::Text => {
            let mut out = std::io::stdout();
            let written =
                server.wait(async { server.client().diff(id).await?.write_to(&mut out).await });
            match written {
                // A reader that is gone (`| head`) is no failure.
                Err(failure) if failure.code == ErrorCode::Io => Ok(()),
                other => other.map(drop),
            }
        }
        Format::Json => {
            let bytes = server
                .wait(async { server.client().diff(id).await?.bytes(MAX_DOWNLOAD_BYTES).await })?;
            let value = json!({ "session": id, "diff": String::from_utf8_lossy(&bytes) });
            output::result(wire.format, &value, String::new)
        }
    }
}

fn outputs(wire: &Wire, server: &Connection, session: &Session) -> Result<(), Failure> {
    let outputs = server.wait(server.client().outputs(session.id))?;
    output::result(wire.format, &outputs, || {
        let Some(branch) = &outputs.branch else {
            return format!("session {} gave nothing back", session.id);
        };
        let mut page = format!("branch  {branch} in {}\n", outputs.mirror);
        for commit in &outputs.commits {
            let files = usize::try_from(commit.file_count).unwrap_or(usize::MAX);
            page.push_str(&format!(
                "commit  {} by {}, {} (event #{})\n",
                commit.commit,
                render::word(&commit.author),
                render::count(files, "file", "files"),
                commit.seq
            ));
        }
        for one in &outputs.refs {
            let (inside, name) = (render::tame(&one.inside), render::tame(&one.name));
            page.push_str(&format!("ref     {name} at {} ({inside} inside)\n", one.object));
        }
        for one in &outputs.submodules {
            let path = render::tame(&one.path.to_text());
            let name = one
                .branch
                .as_deref()
                .map_or_else(String::new, |name| format!(" ({})", render::tame(name)));
            page.push_str(&format!("inner   {path} at {}{name}\n", one.commit));
            for one in one.refs.iter().flatten() {
                let (inside, name) = (render::tame(&one.inside), render::tame(&one.name));
                page.push_str(&format!("ref     {name} at {} ({inside} in it)\n", one.object));
            }
        }
        page
    })
}
