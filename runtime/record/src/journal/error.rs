//! Why a journal can't be made or opened.

use std::io;
use std::path::PathBuf;

use custody_model::SessionId;

use super::frame::FrameError;
use crate::blob::BlobError;
use crate::event::EventError;
use crate::tlog::KeyError;

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
    /// It is sealed, and a journal lies beside the seal that holds something else. Nothing was changed.
    #[error(
        "the record in {0} is sealed, and the journal beside it is not what was sealed: `custody fsck` moves it aside"
    )]
    Stale(PathBuf),
    /// The journal is of another session than the one whose directory it lies in.
    #[error("the journal in {path} is of session {session}: it is not this session's record")]
    Foreign {
        /// The record's directory.
        path: PathBuf,
        /// Whose it is.
        session: SessionId,
    },
    /// The installation log has heads of the record, and the record is gone.
    #[error(
        "the installation log has heads of the record in {0}, and the record is gone: put it back from a backup"
    )]
    Gone(PathBuf),
    /// The keys that tell what was sealed from what lies beside it.
    #[error("the installation's keys can't be used")]
    Key(#[from] KeyError),
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
