//! Which session touched which file.

use custody_model::{Digest, GitOid, SessionId, Timestamp, WorkspacePath};
use serde::{Deserialize, Serialize};

/// How a session touched a file; several may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Touch {
    /// It opened it for its content, or ran it.
    pub read: bool,
    /// It created, wrote or truncated it, or renamed something to it.
    pub written: bool,
    /// It removed it or renamed it away.
    pub removed: bool,
    /// A rule refused it access.
    pub denied: bool,
}

/// A file that a session touched (git's own directory is left out). Key: `session`, `path`; listed by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRow {
    /// The session.
    pub session: SessionId,
    /// The name of the repository's mirror.
    pub repository: String,
    /// The file.
    pub path: WorkspacePath,
    /// How.
    pub touch: Touch,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// Place in the record of the first event that tells of it.
    pub first_seq: u64,
    /// Place in the record of the last one.
    pub last_seq: u64,
    /// Git's id of the first content that it read, where it is known.
    pub read_blob: Option<GitOid>,
    /// SHA-256 of that content, where it is known.
    pub read_digest: Option<Digest>,
    /// Git's id of the last content that it wrote, where it is known.
    pub written_blob: Option<GitOid>,
    /// SHA-256 of that content, where it is known.
    pub written_digest: Option<Digest>,
}
