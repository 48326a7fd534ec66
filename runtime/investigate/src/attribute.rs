//! From a commit or a line to the sessions that wrote it: the exact tier, by git's own ids.
//!
//! Content decides. A trailer is what somebody declares, so it only ever gives a `declared` attribution, and only
//! where nothing exact was found. What is not known stays without an attribution.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use custody_model::{GitOid, SessionId, WorkspacePath};
use serde::Serialize;

use crate::catalogue::{Catalogue, Found};
use crate::history::{HistoryError, Origin, Repository};
use crate::summary::EventRef;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who wrote this commit?
    Commit {
        /// A revision.
        rev: String,
    },
    /// Who wrote this line?
    Line {
        /// The file, from the top of the repository.
        path: WorkspacePath,
        /// Its number, from 1.
        line: u64,
        /// As of this revision; of the working tree without it.
        rev: Option<String>,
    },
}

/// Why a text is not a question.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidQuestion {
    /// No number after the colon, or 0.
    #[error("{0:?}: lines are counted from 1, as in src/main.rs:10")]
    Line(String),
    /// Not a path of a repository.
    #[error(transparent)]
    Path(#[from] custody_model::path::InvalidPath),
    /// Nothing was asked.
    #[error("a commit, or FILE:LINE, or FILE:LINE@REVISION is wanted")]
    Empty,
}

impl FromStr for Question {
    type Err = InvalidQuestion;

    fn from_str(text: &str) -> Result<Self, InvalidQuestion> {
        if text.is_empty() {
            return Err(InvalidQuestion::Empty);
        }
        let (place, rev) = match text.rsplit_once('@') {
            // `main@{1}` is a revision of git's.
            Some((place, rev)) if place.contains(':') && !rev.starts_with('{') => {
                (place, Some(rev.to_owned()))
            }
            _ => (text, None),
        };
        match place.rsplit_once(':') {
            Some((path, line)) if !path.is_empty() => {
                let number: u64 =
                    line.parse().map_err(|_| InvalidQuestion::Line(text.to_owned()))?;
                if number == 0 {
                    return Err(InvalidQuestion::Line(text.to_owned()));
                }
                let path = path.strip_prefix("./").unwrap_or(path);
                Ok(Self::Line {
                    path: WorkspacePath::from_bytes(path.as_bytes())?,
                    line: number,
                    rev,
                })
            }
            _ => Ok(Self::Commit { rev: text.to_owned() }),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { rev } => f.write_str(rev),
            Self::Line { path, line, rev: None } => write!(f, "{path}:{line}"),
            Self::Line { path, line, rev: Some(rev) } => write!(f, "{path}:{line}@{rev}"),
        }
    }
}

/// How a session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The session made this very commit.
    Commit,
    /// The session produced this very tree, in another commit.
    Tree,
    /// The session wrote this very content at this path, in another commit.
    Blob,
    /// A trailer names the session; nothing proves it.
    Declared,
}

/// How far a statement can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// The record saw it happen.
    Observed,
    /// Somebody says so.
    SelfReported,
    /// It follows from what was observed.
    Inferred,
    /// Nothing is known.
    Absent,
}

/// A session that wrote what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attribution {
    /// The session.
    pub session: SessionId,
    /// How it was found.
    pub tier: Tier,
    /// How far that can be relied on.
    pub assurance: Assurance,
    /// The event that names the commit, tree or blob; absent if it is only declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// The files that it is about, when it was found by blob.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<WorkspacePath>,
}

/// Who wrote it, as far as ids tell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Attributed {
    /// The commit that the answer is about; absent for a line that is not committed.
    pub commit: Option<GitOid>,
    /// The line's text, for a line.
    pub text: Option<String>,
    /// The sessions; empty if none is known.
    pub attributions: Vec<Attribution>,
    /// What else is to be known, in words.
    pub notes: Vec<String>,
}

/// Where the mirrors are, by repository name.
pub type Mirrors<'a> = &'a dyn Fn(&str) -> PathBuf;

/// Attributes what is asked for in `repository`, whose history may have been rewritten since the sessions.
///
/// # Errors
/// If git can't answer.
pub fn attribute(
    question: &Question,
    repository: &Repository,
    catalogue: &Catalogue,
    mirrors: Mirrors<'_>,
) -> Result<Attributed, HistoryError> {
    match question {
        Question::Commit { rev } => attribute_commit(rev, repository, catalogue),
        Question::Line { path, line, rev } => {
            let origin = repository.blame(path, *line, rev.as_deref())?;
            attribute_line(origin, repository, catalogue, mirrors)
        }
    }
}

fn attribute_commit(
    rev: &str,
    repository: &Repository,
    catalogue: &Catalogue,
) -> Result<Attributed, HistoryError> {
    let facts = repository.commit(rev)?;
    let mut attributions = Vec::new();
    if let Some(found) = catalogue.by_commit(&facts.commit) {
        attributions.push(exact(found, Tier::Commit));
    }
    if attributions.is_empty() {
        attributions =
            catalogue.by_tree(&facts.tree).into_iter().map(|f| exact(f, Tier::Tree)).collect();
    }
    if attributions.is_empty() {
        for (path, blob) in repository.changed_blobs(&facts.commit)? {
            for found in catalogue.by_file(&path, &blob) {
                let session = found.outputs.session;
                match attributions.iter_mut().find(|a: &&mut Attribution| a.session == session) {
                    Some(known) => known.files.push(path.clone()),
                    None => {
                        let mut attribution = exact(found, Tier::Blob);
                        attribution.files.push(path.clone());
                        attributions.push(attribution);
                    }
                }
            }
        }
    }
    let mut notes = Vec::new();
    if attributions.is_empty() {
        declared(&facts.declared_sessions, &mut attributions, &mut notes);
    }
    Ok(Attributed { commit: Some(facts.commit), text: None, attributions, notes })
}

fn attribute_line(
    origin: Origin,
    repository: &Repository,
    catalogue: &Catalogue,
    mirrors: Mirrors<'_>,
) -> Result<Attributed, HistoryError> {
    let text = Some(origin.text);
    let Some(commit) = origin.commit else {
        let notes =
            vec!["the line is not committed yet, so no history leads to a session".to_owned()];
        return Ok(Attributed { commit: None, text, attributions: Vec::new(), notes });
    };
    let mut attributions = Vec::new();
    let mut notes = Vec::new();
    if let Some(found) = catalogue.by_commit(&commit) {
        attributions.push(exact(found, Tier::Commit));
    } else if let Some(blob) = repository.blob(&commit, &origin.path)? {
        for found in catalogue.by_file(&origin.path, &blob) {
            // The session wrote this version of the file; whether it wrote this line, its own history tells.
            let mirror = Repository::at(mirrors(&found.outputs.repository));
            let inside = mirror.blame(&origin.path, origin.line, Some(found.commit.as_str()))?;
            let writer = inside.commit.as_ref().and_then(|c| catalogue.by_commit(c));
            match writer {
                Some(writer) => {
                    let mut attribution = exact(writer, Tier::Blob);
                    attribution.files.push(origin.path.clone());
                    if !attributions.contains(&attribution) {
                        attributions.push(attribution);
                    }
                }
                None => notes.push(format!(
                    "session {} wrote this version of the file, but the line was there before",
                    found.outputs.session
                )),
            }
        }
    }
    if attributions.is_empty() {
        let facts = repository.commit(commit.as_str())?;
        declared(&facts.declared_sessions, &mut attributions, &mut notes);
    }
    Ok(Attributed { commit: Some(commit), text, attributions, notes })
}

fn exact(found: Found<'_>, tier: Tier) -> Attribution {
    Attribution {
        session: found.outputs.session,
        tier,
        assurance: Assurance::Observed,
        event: Some(found.event),
        files: Vec::new(),
    }
}

fn declared(trailers: &[String], attributions: &mut Vec<Attribution>, notes: &mut Vec<String>) {
    for trailer in trailers {
        match trailer.parse() {
            Ok(session) => attributions.push(Attribution {
                session,
                tier: Tier::Declared,
                assurance: Assurance::SelfReported,
                event: None,
                files: Vec::new(),
            }),
            Err(_) => {
                notes.push(format!("the trailer Custody-Session: {trailer} names no session"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_commit_or_a_line() {
        let line = |rev: Option<&str>| Question::Line {
            path: "src/a.rs".parse().unwrap(),
            line: 3,
            rev: rev.map(str::to_owned),
        };
        assert_eq!("src/a.rs:3".parse(), Ok(line(None)));
        assert_eq!("./src/a.rs:3@v1.0".parse(), Ok(line(Some("v1.0"))));
        assert_eq!("main@{1}".parse(), Ok(Question::Commit { rev: "main@{1}".into() }));
        assert_eq!("HEAD".parse(), Ok(Question::Commit { rev: "HEAD".into() }));
        assert!("src/a.rs:0".parse::<Question>().is_err());
        assert!("src/a.rs:x".parse::<Question>().is_err());
        assert!("../a.rs:1".parse::<Question>().is_err());
    }
}
