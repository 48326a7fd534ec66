//! Why the control plane did not do what was asked.

use custody_model::ErrorCode;
use custody_record::ControlLogError;
use custody_store::StoreError;

/// Why the control plane did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The control log can't be written: nothing happens that is not on record.
    #[error("the control log can't be used, and nothing happens that is not on record")]
    Log(#[from] ControlLogError),
    /// A document that an event names can't be stored or read.
    #[error("a document of the control log can't be stored or read")]
    Blob(#[from] custody_record::BlobError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A session's record can't be read.
    #[error("a session's record can't be read; `custody verify` says what is wrong with it")]
    Record(#[from] custody_record::ReadError),
    /// There is none.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// `project`, `user`, …
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// There is one already, or it is not in a state for this.
    #[error("{0}")]
    Conflict(String),
    /// A value that can't be taken.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The caller may not.
    #[error("{0}")]
    Forbidden(String),
    /// A token can't be made.
    #[error("the token can't be issued")]
    Issue(#[source] custody_identity::IssueError),
    /// The kernel gave no random bytes.
    #[error("no random bytes for a new id")]
    Random(#[source] getrandom::Error),
    /// A task of this process ended before its work was done.
    #[error("the work was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl ControlError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Log(_) | Self::Blob(_) => ErrorCode::RecordUnwritable,
            Self::Store(StoreError::Cursor { .. }) => ErrorCode::Invalid,
            Self::Store(_) | Self::Random(_) | Self::Issue(_) => ErrorCode::Io,
            Self::Record(_) => ErrorCode::VerificationFailed,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::Invalid { .. } => ErrorCode::Invalid,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::BrokenOff(_) => ErrorCode::Internal,
        }
    }
}
