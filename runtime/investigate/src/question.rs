//! What can be asked: a commit, or a line of a file at a revision.

use std::fmt;
use std::str::FromStr;

use custody_model::WorkspacePath;

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
