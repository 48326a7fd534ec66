//! What keeps a journal from being written, in words that say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What of the journal's file failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writing to it.
    Write,
    /// Making it durable.
    Sync,
    /// Finding it where it belongs.
    Find,
}

impl Step {
    /// As a word for the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Sync => "fsync",
            Self::Find => "find",
        }
    }
}

/// Why a journal can't be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What failed first.
    pub step: Step,
    /// How, in the system's words.
    pub error: String,
    /// The file.
    pub path: PathBuf,
    /// Number of events that were durable.
    pub durable: u64,
    advice: &'static str,
}

impl Trouble {
    pub(super) fn new(step: Step, error: &io::Error, path: &Path, durable: u64) -> Self {
        let advice = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => {
                "make room on the file system that holds it"
            }
            Some(libc::EROFS) => "make its file system writable again",
            Some(libc::ENOENT | libc::ENOTDIR | libc::ESTALE) => "bring its directory back",
            Some(_) | None => "look after the disk that holds it",
        };
        Self { step, error: error.to_string(), path: path.to_owned(), durable, advice }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, error) = (self.path.display(), &self.error);
        match self.step {
            Step::Write => write!(f, "writing {path} failed: {error}"),
            Step::Sync => write!(f, "making {path} durable failed: {error}"),
            Step::Find => write!(f, "{path} is gone: {error}"),
        }?;
        write!(f, "; {}, and the session goes on by itself", self.advice)
    }
}

/// What a watcher of a journal hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It can't be written from now on.
    Degraded(Trouble),
    /// It can be written again, and all that waited is durable.
    Restored {
        /// Events that waited in memory.
        waited: u64,
        /// How often it was tried.
        attempts: u64,
    },
}
