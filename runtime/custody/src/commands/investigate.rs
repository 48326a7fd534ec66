//! `custody investigate`: from a commit or a line to the sessions behind it.

use std::path::Path;
use std::process::ExitCode;

use custody_api_types::investigation::AskInvestigation;
use custody_investigate::history::Repository;
use custody_investigate::question::Question;
use custody_investigate::report::{Answer, UnreadRecord};
use custody_model::{ErrorCode, ProjectName, WorkspacePath};
use custody_workspace::mirror::Source;

use super::repo::{self, Chosen};
use crate::cli::{Format, InvestigateArgs};
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;
use crate::{output, render};

/// Answers the question; exit code 66 if no session is known.
pub fn run(wire: &Wire, args: &InvestigateArgs) -> Result<ExitCode, Failure> {
    let question: Question = args.question.parse().explain(ErrorCode::Usage, "the question")?;
    let repository = repo::read(args.repo.as_deref());
    let server = Connection::open(wire)?;
    let project = ProjectName::default_project();
    let chosen = repo::choose(&server, repository, &project)?;
    let answer = match placed(&chosen, question.clone())? {
        Placed::At(placed) => asked(&server, &chosen, &question, &placed)?,
        Placed::Answered(answer) => answer,
    };
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

fn asked(
    server: &Connection,
    chosen: &Chosen,
    question: &Question,
    placed: &Question,
) -> Result<Answer, Failure> {
    let asked = AskInvestigation { question: placed.to_string(), repository: chosen.name.clone() };
    let told =
        server.wait(server.client().investigate(&asked)).map_err(|failure| match failure.code {
            ErrorCode::NotFound if chosen.checkout.is_some() => {
                failure.hint("the server knows only what was pushed: push the commit first")
            }
            _ => failure,
        })?;
    let unreadable = "the answer can't be read; the server may be of another version";
    let text = serde_json::to_vec(&told).explain(ErrorCode::Internal, unreadable)?;
    drop(told);
    let mut answer: Answer =
        serde_json::from_slice(&text).explain(ErrorCode::Internal, unreadable)?;
    // As it was asked, and not as it was sent.
    answer.question = question.to_string();
    Ok(answer)
}

/// A question of this checkout, in words that mean the same elsewhere.
enum Placed {
    At(Question),
    Answered(Answer),
}

/// Files are named from where the caller stands, lines are those of the working tree, and revisions have names of their
/// own in every checkout; a server knows paths from the top and commits.
fn placed(chosen: &Chosen, question: Question) -> Result<Placed, Failure> {
    let Some(Source::Checkout(checkout)) = &chosen.checkout else {
        return Ok(Placed::At(question));
    };
    let git = Repository::at(checkout.root());
    let missing = "the repository's history gives no answer";
    match question {
        Question::Commit { rev } => {
            let facts = git.commit(&rev).explain(ErrorCode::NotFound, missing);
            let facts = facts.map_err(|failure| match Path::new(&rev).is_file() {
                true => failure.hint(format!("to ask about a line of that file: {rev}:LINE")),
                false => failure,
            })?;
            Ok(Placed::At(Question::Commit { rev: facts.commit.to_string() }))
        }
        Question::Line { path, line, rev } => {
            let path = from_the_top(&git, &path)?;
            let origin = git.blame(&path, line, rev.as_deref());
            let origin = origin.explain(ErrorCode::NotFound, missing)?;
            let question = Question::Line { path, line, rev };
            let Some(commit) = origin.commit else {
                let note = "the line is not committed yet, so no history leads to a session";
                return Ok(Placed::Answered(Answer {
                    question: question.to_string(),
                    commit: None,
                    text: Some(origin.text),
                    findings: Vec::new(),
                    notes: vec![note.to_owned()],
                    unread: Vec::new(),
                }));
            };
            let rev = Some(commit.to_string());
            Ok(Placed::At(Question::Line { path: origin.path, line: origin.line, rev }))
        }
    }
}

/// A path as git has it, of one that is named from here.
fn from_the_top(git: &Repository, path: &WorkspacePath) -> Result<WorkspacePath, Failure> {
    let lost = "this directory can't be found";
    let top = std::fs::canonicalize(git.path()).explain(ErrorCode::Io, lost)?;
    let here = std::fs::canonicalize(".").explain(ErrorCode::Io, lost)?;
    let below = here.strip_prefix(&top);
    let mut bytes = below.map(|p| p.as_os_str().as_encoded_bytes().to_vec()).unwrap_or_default();
    if !bytes.is_empty() {
        bytes.push(b'/');
    }
    bytes.extend_from_slice(path.as_bytes());
    WorkspacePath::from_bytes(&bytes).explain(ErrorCode::Usage, "the file")
}
