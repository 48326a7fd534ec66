//! The unit of work: what is to be saved together.

use crate::{
    BlobRow, CommitRow, FileRow, PolicyRow, ProjectRow, RepositoryRow, SessionRow, TokenRow,
    UserRow,
};

/// One change. Each row replaces the one with its key. A session whose requester gave its idempotency key to another
/// session is an error, [`crate::StoreError::KeyTaken`]: whoever derives rows from the logs leaves the key to the first.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each row is documented at its type")]
pub enum Change {
    Project(ProjectRow),
    Policy(PolicyRow),
    User(UserRow),
    Token(TokenRow),
    Repository(RepositoryRow),
    Session(Box<SessionRow>),
    File(Box<FileRow>),
    Commit(CommitRow),
    Blob(BlobRow),
}

/// Changes that are saved whole or not at all, with what they rest on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UnitOfWork {
    /// It applies the events of the control log from the first of these numbers up to the second, exclusively: it is
    /// refused as stale unless the store has applied exactly the first.
    pub control: Option<(u64, u64)>,
    /// It indexes the record of a session from this number of events on: it is refused as stale unless the session's row
    /// says exactly this in `events` (a session without a row is at 0).
    pub record: Option<(custody_model::SessionId, u64)>,
    /// The changes, in order.
    pub changes: Vec<Change>,
}
