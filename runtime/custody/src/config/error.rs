//! Why a configuration is not valid: every problem with its place, its field and the reason.

use std::fmt;
use std::path::PathBuf;

use custody_policy::yaml::Place;
use serde::Serialize;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Origin {
    /// Nothing says anything else.
    Default,
    /// The configuration file.
    File {
        /// The line, from 1.
        line: u64,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// An option of the command line.
    Option {
        /// Its name.
        option: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "file, line {line}"),
            Self::Environment { variable } => write!(f, "environment, {variable}"),
            Self::Option { option } => write!(f, "option {option}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is wrong.
    pub origin: Origin,
    /// The column in characters, from 1, where it is in the file.
    pub column: Option<u64>,
    /// The field, as in `server.listen`; empty for the whole file.
    pub field: String,
    /// What is wrong, in words.
    pub reason: String,
}

impl Problem {
    /// At a place in the file; the first line if there is none.
    pub(super) fn in_file(place: Option<Place>, field: String, reason: String) -> Self {
        let line = place.map_or(1, |place| place.line);
        let column = place.map(|place| place.column);
        Self { origin: Origin::File { line }, column, field, reason }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.column) {
            (Origin::File { line }, Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Origin::File { line }, None) => write!(f, "line {line}: ")?,
            (Origin::Environment { variable }, _) => write!(f, "{variable}: ")?,
            (Origin::Option { option }, _) => write!(f, "{option}: ")?,
            (Origin::Default, _) => {}
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not valid. One line for each problem.
    #[error("{}", lines(problems))]
    Invalid {
        /// The file, if there is one.
        file: Option<PathBuf>,
        /// What is wrong; at least one.
        problems: Vec<Problem>,
    },
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    match lines.as_slice() {
        [line] => line.clone(),
        lines => format!("{} problems\n{}", lines.len(), lines.join("\n")),
    }
}
