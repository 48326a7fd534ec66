//! `custody investigate`: from a commit or a line to the sessions behind it.

use std::process::ExitCode;

use custody_investigate::attribute::{Question, attribute};
use custody_investigate::catalogue::{Catalogue, outputs_of};
use custody_investigate::history::Repository;
use custody_investigate::report::{RecordVerdicts, UnreadRecord, answer};
use custody_model::{ErrorCode, SessionId, WorkspacePath};
use custody_record::event::ChangedFile;
use custody_record::{Event, ReadError, Reader};
use custody_session::records;
use custody_workspace::checkout::{Checkout, CheckoutError};
use custody_workspace::mirror::{Mirrors, RepositoryName};

use super::session::summary_of;
use crate::cli::{Format, InvestigateArgs};
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// Answers the question; exit code 66 if no session is known.
pub fn run(wire: &Wire, args: &InvestigateArgs) -> Result<ExitCode, Failure> {
    wire.reconcile()?;
    let question: Question = args.question.parse().explain(ErrorCode::Usage, "the question")?;
    let mirrors = Mirrors::of(wire.state.path());
    let repository = match &args.repo {
        None => Repository::at("."),
        Some(text) => {
            match text.parse::<RepositoryName>().ok().and_then(|n| mirrors.get(&n).ok()) {
                Some(mirror) => Repository::at(mirror.git_dir()),
                None => Repository::at(text),
            }
        }
    };
    if let Err(error @ CheckoutError::Trap(_)) = Checkout::find(repository.path()) {
        return Err(Failure::of(ErrorCode::Io, "the repository can't be read", error));
    }
    let (repository, question) = from_the_top(repository, question)?;
    let (catalogue, mut unread) = catalogue(wire)?;
    let state = wire.state.clone();
    let mirror_of = move |name: &str| state.repositories().join(format!("{name}.git"));
    let attributed = attribute(&question, &repository, &catalogue, &mirror_of)
        .explain(ErrorCode::NotFound, "the repository's history gives no answer")
        .map_err(|failure| match &question {
            Question::Commit { rev } if repository.path().join(rev).is_file() => {
                failure.hint(format!("to ask about a line of that file: {rev}:LINE"))
            }
            Question::Commit { .. } | Question::Line { .. } => failure,
        })?;
    let known = !attributed.attributions.is_empty();
    let mut answer = answer(&question, attributed, |session| look_up(wire, session, &mut unread))?;
    if wire.format == Format::Text {
        for UnreadRecord { session, reason } in &unread {
            eprintln!(
                "custody: the record of session {session} can't be read, so nothing is known of it: {reason}"
            );
        }
    }
    answer.unread = unread;
    output::result(wire.format, &answer, || render::answer::page(&answer))?;
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::from(ErrorCode::NotFound.exit_code()) })
}

/// Files are named from where the caller stands; questions are about paths from the top.
fn from_the_top(
    repository: Repository,
    question: Question,
) -> Result<(Repository, Question), Failure> {
    let top = repository.top().explain(ErrorCode::NotFound, "this is no git repository")?;
    let Some(top) = top else { return Ok((repository, question)) };
    let Question::Line { path, line, rev } = question else {
        return Ok((Repository::at(top), question));
    };
    let here = std::fs::canonicalize(repository.path())
        .explain(ErrorCode::Io, "this directory can't be found")?;
    let below = here.strip_prefix(std::fs::canonicalize(&top).unwrap_or_else(|_| top.clone()));
    let prefix = below.map(|p| p.as_os_str().as_encoded_bytes().to_vec()).unwrap_or_default();
    let mut bytes = prefix;
    if !bytes.is_empty() {
        bytes.push(b'/');
    }
    bytes.extend_from_slice(path.as_bytes());
    let path = WorkspacePath::from_bytes(&bytes).explain(ErrorCode::Usage, "the file")?;
    Ok((Repository::at(top), Question::Line { path, line, rev }))
}

/// The outputs of all sessions that are on record here, and those whose records can't be read: one of these must not
/// take the answers of all others away.
fn catalogue(wire: &Wire) -> Result<(Catalogue, Vec<UnreadRecord>), Failure> {
    let (mut catalogue, mut unread) = (Catalogue::default(), Vec::new());
    let sessions =
        records::all(&wire.state).explain(ErrorCode::Io, "the sessions can't be listed")?;
    for session in sessions {
        let reader = match records::reader(&wire.state, session) {
            // Its keeper has not begun the record yet: there are no outputs.
            Err(ReadError::NoRecord(_)) if wire.state.session(session).run().exists() => continue,
            other => other.explain(ErrorCode::Io, "it can't be opened"),
        };
        let found = reader.and_then(|reader| {
            let spec = records::spec(&wire.state, session);
            let spec = spec.explain(ErrorCode::Io, "its request can't be read")?;
            outputs(&reader, session, spec.repository)
        });
        match found {
            Ok(outputs) => catalogue.add(outputs),
            Err(error) => unread.push(UnreadRecord { session, reason: error.to_string() }),
        }
    }
    Ok((catalogue, unread))
}

fn outputs(
    reader: &Reader,
    session: SessionId,
    repository: String,
) -> Result<custody_investigate::catalogue::Outputs, Failure> {
    let unreadable = "the record can't be read";
    let all_files = |event: &Event| -> Result<Vec<ChangedFile>, Failure> {
        let blob = event.blobs.iter().find(|blob| blob.role == "files");
        let blob = blob.ok_or_else(|| {
            Failure::new(ErrorCode::VerificationFailed, "a commit lacks its files")
        })?;
        let bytes =
            reader.blobs().get(&blob.digest).explain(ErrorCode::VerificationFailed, unreadable)?;
        serde_json::from_slice(&bytes).explain(ErrorCode::VerificationFailed, unreadable)
    };
    match reader.sealed_size() {
        Some(size) => {
            let backwards = (0..size).rev().map(|seq| {
                reader
                    .get(seq)
                    .explain(ErrorCode::VerificationFailed, unreadable)?
                    .ok_or_else(|| Failure::new(ErrorCode::VerificationFailed, unreadable))
            });
            outputs_of(session, repository, backwards, all_files)
        }
        // It still runs: there are no outputs yet.
        None => outputs_of(session, repository, std::iter::empty(), all_files),
    }
}

fn look_up(
    wire: &Wire,
    session: SessionId,
    unread: &mut Vec<UnreadRecord>,
) -> Result<Option<(Option<custody_investigate::Summary>, RecordVerdicts)>, Failure> {
    let dir = wire.state.session(session).record();
    if !dir.exists() {
        return Ok(None);
    }
    let report = super::verify::own(wire, &dir)?;
    let verdicts = RecordVerdicts {
        integrity: render::word(&report.integrity),
        completeness: render::word(&report.completeness),
    };
    let summary = match summary_of(wire, session) {
        Ok(summary) => Some(summary),
        Err(error) => {
            if !unread.iter().any(|known| known.session == session) {
                unread.push(UnreadRecord { session, reason: error.to_string() });
            }
            None
        }
    };
    Ok(Some((summary, verdicts)))
}
