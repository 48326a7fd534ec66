//! What sessions gave back: their commits, and the contents in them.

use custody_model::{EventId, GitOid, SessionId, Timestamp, WorkspacePath};
use custody_record::event::CommitAuthor;
use serde::{Deserialize, Serialize};

/// A commit of a session's branch. Key: `session`, `commit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitRow {
    /// The session.
    pub session: SessionId,
    /// The name of the repository's mirror.
    pub repository: String,
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
    /// Who made it.
    pub author: CommitAuthor,
    /// Number of files that it changes.
    pub file_count: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Place in the record of the event that tells of it.
    pub seq: u64,
    /// That event.
    pub event: EventId,
}

/// A content that a session put at a path, in one of its commits. Key: `session`, `commit`, `path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobRow {
    /// The session.
    pub session: SessionId,
    /// The commit.
    pub commit: GitOid,
    /// The path.
    pub path: WorkspacePath,
    /// Git's id of the content.
    pub blob: GitOid,
}
