//! `custody session`: look at sessions and take their results over.

mod apply;
mod play;

use std::process::ExitCode;

use custody_investigate::{Summarizer, Summary};
use custody_model::{ErrorCode, SessionId, WorkspacePath};
use custody_record::event::Body;
use custody_record::{Event, Reader};
use custody_session::records;
use custody_workspace::outputs::{CUT_DIFF, WHOLE_DIFF};
use serde_json::{Value, json};

use crate::cli::{Format, SessionArg, SessionCommand};
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// `custody session …`.
pub fn run(wire: &Wire, command: SessionCommand) -> Result<ExitCode, Failure> {
    wire.reconcile()?;
    match command {
        SessionCommand::List => list(wire)?,
        SessionCommand::Show(arg) => {
            let summary = summary_of(wire, find(wire, &arg)?)?;
            output::result(wire.format, &summary, || render::summary::page(&summary))?;
        }
        SessionCommand::Events { session, types, path, from, limit } => {
            let wanted = Wanted { types, path: path.as_deref().map(parse_path).transpose()?, from };
            events(wire, find(wire, &session)?, &wanted, limit.unwrap_or(usize::MAX))?;
        }
        SessionCommand::Files(arg) => files(wire, find(wire, &arg)?)?,
        SessionCommand::Diff(arg) => diff(wire, find(wire, &arg)?)?,
        SessionCommand::Play { session, speed, idle, cast } => {
            let session = find(wire, &session)?;
            play::play(&recording(wire, session)?, speed, idle, cast)?;
        }
        SessionCommand::Apply { session, fetch_only } => {
            apply::apply(wire, find(wire, &session)?, fetch_only)?;
        }
        SessionCommand::Stop { session, reason } => {
            let session = find(wire, &session)?;
            let (runtime, orchestrator) = wire.orchestrator()?;
            let author = super::run::author()?;
            runtime
                .block_on(orchestrator.stop(&author, session, &reason))
                .explain(ErrorCode::Conflict, "the session can't be stopped")?;
            runtime.block_on(orchestrator.settle(session, std::time::Duration::from_secs(60)));
            runtime.block_on(orchestrator.shut_down());
            let value = json!({ "session": session, "stopped": true });
            output::result(wire.format, &value, || format!("session {session} has ended"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(wire: &Wire, arg: &SessionArg) -> Result<SessionId, Failure> {
    records::find(&wire.state, &arg.session)
        .explain(ErrorCode::NotFound, "there is no such session")
}

fn open(wire: &Wire, session: SessionId) -> Result<Reader, Failure> {
    records::reader(&wire.state, session)
        .explain(ErrorCode::NotFound, format!("session {session} has no record"))
}

/// One session in a page.
pub fn summary_of(wire: &Wire, session: SessionId) -> Result<Summary, Failure> {
    let mut summarizer: Option<Summarizer> = None;
    for event in all(&open(wire, session)?)? {
        let event = event?;
        summarizer.get_or_insert_with(|| Summarizer::new(session, event.policy)).add(&event);
    }
    match summarizer {
        Some(summarizer) => Ok(summarizer.finish()),
        None => {
            Err(Failure::new(ErrorCode::NotFound, format!("session {session} has no events yet")))
        }
    }
}

fn all(reader: &Reader) -> Result<impl Iterator<Item = Result<Event, Failure>>, Failure> {
    let unreadable = "the record can't be read; `custody verify` says what is wrong with it";
    let events = reader.events().explain(ErrorCode::VerificationFailed, unreadable)?;
    Ok(events.map(move |event| event.explain(ErrorCode::VerificationFailed, unreadable)))
}

fn list(wire: &Wire) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for session in
        records::all(&wire.state).explain(ErrorCode::Io, "the sessions can't be listed")?
    {
        rows.push(row(wire, session));
    }
    output::result(wire.format, &rows, || {
        if rows.is_empty() {
            return "no sessions yet; `custody run -- COMMAND` makes one".to_owned();
        }
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).unwrap_or("-").to_owned()
        };
        let mut page = format!(
            "{:<36}  {:<11}  {:<12}  {:<20}  COMMAND\n",
            "SESSION", "STATE", "REQUESTER", "STARTED"
        );
        for row in &rows {
            let started = text(row, "requested_at");
            page.push_str(&format!(
                "{:<36}  {:<11}  {:<12}  {:<20}  {}\n",
                text(row, "session"),
                text(row, "state"),
                render::cut(&text(row, "requester"), 12),
                started.get(..19).unwrap_or(&started),
                render::cut(&text(row, "command"), 60),
            ));
        }
        page
    })
}

/// A session as the list shows it: from its request and the last event of its record.
fn row(wire: &Wire, session: SessionId) -> Value {
    let spec = records::spec(&wire.state, session).ok();
    let last = open(wire, session).ok().and_then(|reader| {
        let size = reader.sealed_size()?;
        reader.get(size.checked_sub(1)?).ok().flatten()
    });
    let outcome = match last.map(|event| event.body) {
        Some(Body::SessionClosed(closed)) => render::word(&closed.outcome),
        _ if wire.state.session(session).attach_socket().exists() => "running".to_owned(),
        _ => "unsealed".to_owned(),
    };
    json!({
        "session": session,
        "state": outcome,
        "requester": spec.as_ref().map(|s| s.requester.as_str()),
        "requested_at": spec.as_ref().map(|s| s.requested_at),
        "repository": spec.as_ref().map(|s| s.repository.as_str()),
        "command": spec.as_ref().map(|s| render::command_line(&s.command)),
    })
}

struct Wanted {
    types: Vec<String>,
    path: Option<WorkspacePath>,
    from: u64,
}

impl Wanted {
    fn wants(&self, event: &Event, kind: &str, data: &Value) -> bool {
        let of_type = |wanted: &String| {
            kind == wanted
                || kind.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let names = |path: &WorkspacePath| {
            ["path", "from", "to", "target"].iter().any(|member| {
                let named = data.get(member).and_then(Value::as_str);
                named
                    .and_then(|n| n.parse::<WorkspacePath>().ok())
                    .is_some_and(|n| n.starts_with(path))
            })
        };
        event.seq >= self.from
            && (self.types.is_empty() || self.types.iter().any(of_type))
            && self.path.as_ref().is_none_or(names)
    }
}

fn events(wire: &Wire, session: SessionId, wanted: &Wanted, limit: usize) -> Result<(), Failure> {
    let mut left = limit;
    for event in all(&open(wire, session)?)? {
        let event = event?;
        let (kind, data) = render::events::type_and_data(&event);
        if !wanted.wants(&event, &kind, &data) {
            continue;
        }
        if left == 0 {
            break;
        }
        left -= 1;
        let line = match wire.format {
            Format::Text => render::events::line(&event),
            Format::Json => serde_json::to_string(&event)
                .explain(ErrorCode::Internal, "an event has no JSON form")?,
        };
        output::raw(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

fn files(wire: &Wire, session: SessionId) -> Result<(), Failure> {
    let summary = summary_of(wire, session)?;
    let value = json!({
        "read": summary.read, "written": summary.written, "removed": summary.removed,
        "denied": summary.denied,
    });
    output::result(wire.format, &value, || {
        let mut page = String::new();
        for (word, list) in
            [("read", &summary.read), ("wrote", &summary.written), ("removed", &summary.removed)]
        {
            for touched in list {
                page.push_str(&format!(
                    "{word:<8} {} (event #{})\n",
                    touched.path, touched.event.seq
                ));
            }
        }
        for denied in &summary.denied {
            page.push_str(&format!(
                "{:<8} {} (event #{})\n",
                "refused", denied.path, denied.event.seq
            ));
        }
        page
    })
}

fn diff(wire: &Wire, session: SessionId) -> Result<(), Failure> {
    let (bytes, whole) = match blob(wire, session, WHOLE_DIFF)? {
        Some(bytes) => (bytes, true),
        None => match blob(wire, session, CUT_DIFF)? {
            Some(bytes) => (bytes, false),
            None => (Vec::new(), summary_of(wire, session)?.commits.is_empty()),
        },
    };
    match wire.format {
        Format::Text => {
            if !whole {
                eprintln!(
                    "custody: the diff is larger than what the record keeps of it; \
                     `custody session apply --fetch-only {session}` brings the branch, which has all"
                );
            }
            output::raw(&bytes)
        }
        Format::Json => {
            let text = String::from_utf8_lossy(&bytes);
            let value = json!({ "session": session, "diff": text, "whole": whole });
            output::result(wire.format, &value, String::new)
        }
    }
}

fn recording(wire: &Wire, session: SessionId) -> Result<Vec<u8>, Failure> {
    blob(wire, session, "terminal")?.ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, format!("session {session} has no recording yet"))
    })
}

/// The last blob of this role in the record.
fn blob(wire: &Wire, session: SessionId, role: &str) -> Result<Option<Vec<u8>>, Failure> {
    let reader = open(wire, session)?;
    let mut found = None;
    for event in all(&reader)? {
        found = event?.blobs.into_iter().find(|blob| blob.role == role).or(found);
    }
    found
        .map(|blob| reader.blobs().get(&blob.digest))
        .transpose()
        .explain(ErrorCode::VerificationFailed, "the content can't be read")
}

fn parse_path(text: &str) -> Result<WorkspacePath, Failure> {
    WorkspacePath::from_bytes(text.trim_end_matches('/').as_bytes())
        .explain(ErrorCode::Usage, "--path")
}
