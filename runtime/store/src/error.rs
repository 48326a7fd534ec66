//! Why the store did not do what was asked.

use custody_model::{SessionId, UserName};

use crate::InvalidCursor;

/// Why the store did not do what was asked. Nothing of a unit of work was saved then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer saved first: read again, and decide again.
    #[error("the store is at {what} {found}, and {wanted} was expected: somebody else wrote first")]
    Stale {
        /// `control event`, or `event of session …`.
        what: String,
        /// What it is at.
        found: u64,
        /// What the unit of work began at.
        wanted: u64,
    },
    /// A requester's key names another session already: which one, [`crate::Store::session_by_key`] says.
    #[error("{requester} gave the key {key:?} to another session than {session} already")]
    KeyTaken {
        /// Whose key.
        requester: UserName,
        /// The key.
        key: String,
        /// The session that was to be saved with it.
        session: SessionId,
    },
    /// A page was asked for after a cursor that no page of this list gave.
    #[error(transparent)]
    Cursor(#[from] InvalidCursor),
    /// The database holds a value that this version does not know.
    #[error(
        "the store holds {what} that is not valid; `custody reindex` makes it anew from the logs"
    )]
    Corrupt {
        /// Which column of which table.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database itself.
    #[error("the store can't be {doing}")]
    Database {
        /// `read`, `written`, `opened`.
        doing: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
