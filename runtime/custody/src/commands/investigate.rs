//! `custody investigate`: from a commit or a line to the sessions behind it.

mod index;

use std::process::ExitCode;

use custody_investigate::attribute::{Sources, attribute};
use custody_investigate::blocking::InPlace;
use custody_investigate::history::Repository;
use custody_investigate::neighbour::{Nearby, Reach};
use custody_investigate::question::Question;
use custody_investigate::report::{Answer, Looked, RecordVerdicts, Records, UnreadRecord, answer};
use custody_model::{ErrorCode, SessionId, WorkspacePath};
use custody_store::Visibility;
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.explain(ErrorCode::Io, "the question can't be worked on")?;
    let answer = runtime.block_on(ask(wire, &question, &repository))?;
    let known = !answer.findings.is_empty();
    if wire.format == Format::Text {
        for UnreadRecord { session, reason } in &answer.unread {
            eprintln!(
                "custody: the record of session {session} can't be read, so nothing is known of it: {reason}"
            );
        }
    }
    output::result(wire.format, &answer, || render::answer::page(&answer))?;
    Ok(if known { ExitCode::SUCCESS } else { ExitCode::from(ErrorCode::NotFound.exit_code()) })
}

async fn ask(wire: &Wire, question: &Question, repository: &Repository) -> Result<Answer, Failure> {
    let index = tempfile::tempdir().explain(ErrorCode::Io, "there is no room for an index")?;
    let store = wire.store(&index.path().join("index.sqlite")).await?;
    let unread = index::fill(wire, &*store).await?;
    let state = wire.state.clone();
    let mirrors = move |name: &str| state.repositories().join(format!("{name}.git"));
    let sources = Sources { repository, store: &*store, mirrors: &mirrors, blocking: &InPlace };
    let attributed = attribute(question, sources)
        .await
        .explain(ErrorCode::NotFound, "the repository's history gives no answer")
        .map_err(|failure| match question {
            Question::Commit { rev } if repository.path().join(rev).is_file() => {
                failure.hint(format!("to ask about a line of that file: {rev}:LINE"))
            }
            Question::Commit { .. } | Question::Line { .. } => failure,
        })?;
    let (visible, reach) = (Visibility::everything(), Reach::default());
    let nearby = Nearby { store: &*store, visible: &visible, reach };
    let mut answer = answer(question, attributed, &Own(wire), nearby).await?;
    let told = std::mem::take(&mut answer.unread);
    let new = |record: &UnreadRecord| unread.iter().all(|known| known.session != record.session);
    let told: Vec<UnreadRecord> = told.into_iter().filter(new).collect();
    answer.unread = unread.into_iter().chain(told).collect();
    Ok(answer)
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

/// Looks sessions up in the state directory.
struct Own<'a>(&'a Wire);

impl Records for Own<'_> {
    type Error = Failure;

    async fn look_up(&self, session: SessionId) -> Result<Looked, Failure> {
        let dir = self.0.state.session(session).record();
        if !dir.exists() {
            return Ok(Looked::Absent);
        }
        let report = super::verify::own(self.0, &dir)?;
        let record = RecordVerdicts {
            integrity: render::word(&report.integrity),
            completeness: render::word(&report.completeness),
        };
        Ok(match summary_of(self.0, session) {
            Ok(summary) => Looked::Found(Box::new(summary), record),
            Err(error) => Looked::Unreadable { reason: error.to_string(), record },
        })
    }
}
