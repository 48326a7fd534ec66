//! Why a journal can't be made or opened.

use std::io;
use std::path::PathBuf;

use super::frame::FrameError;
use crate::blob::BlobError;
use crate::event::EventError;

/// Why a journal can't be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory.
    #[error("the journal in {path} can't be used")]
    Io {
        /// The record's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a record already.
    #[error("{0} holds a record already")]
    Exists(PathBuf),
    /// Another process, the session's keeper, is writing it.
    #[error("another process writes the record in {0}: the session lives")]
    InUse(PathBuf),
    /// It is sealed: nothing is left to do.
    #[error("the record in {0} is sealed")]
    Sealed(PathBuf),
    /// No journal, or one whose first bytes never reached the disk: nothing was recorded.
    #[error("{0} holds no journal")]
    Empty(PathBuf),
    /// An event before the end of the journal can't be the one that was written.
    #[error("event {seq} of the journal in {path} is not well formed")]
    Event {
        /// The record's directory.
        path: PathBuf,
        /// Which.
        seq: u64,
        /// Why.
        #[source]
        source: EventError,
    },
    /// What was cut off could not be kept.
    #[error("what was cut off the journal can't be kept")]
    Cut(#[from] BlobError),
    /// The journal's bytes.
    #[error(transparent)]
    Frame(#[from] FrameError),
}
