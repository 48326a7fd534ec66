//! What a keeper is asked to do: the `spec.json` of a session's directory.

use std::collections::BTreeMap;

use custody_model::{Digest, GitOid, Limits, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// Version of the format.
pub const SPEC_VERSION: u32 = 1;

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// One session, as the orchestrator asks its keeper for it. The keeper evaluates the policy beside it (`policy.yaml`)
/// once more by itself: this file is a request, not a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// [`SPEC_VERSION`].
    pub v: u32,
    /// The session.
    pub id: SessionId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Who asked.
    pub requester: UserName,
    /// Digest of the policy version that the orchestrator evaluated; the keeper refuses another.
    pub policy: Digest,
    /// Name of the repository's mirror.
    pub repository: String,
    /// The commit to start from; it is in the mirror.
    pub base_commit: GitOid,
    /// Its tree.
    pub base_tree: GitOid,
    /// The base is a snapshot of a working tree with uncommitted changes.
    pub dirty: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// `host`, or the name of an image.
    pub image: String,
    /// The limits that were asked for.
    pub limits: Limits,
    /// Environment variables of the requester that are to enter; the policy decides which may.
    pub environment: BTreeMap<String, String>,
    /// Mediate the whole workspace synchronously.
    pub strict: bool,
    /// Give the command a terminal of this size; pipes otherwise.
    pub terminal: Option<Window>,
    /// Somebody will send input; `/dev/null` otherwise.
    pub input: bool,
    /// Somebody attaches at once: the command waits for them, a moment, so that they see all of its output.
    #[serde(default)]
    pub attach: bool,
}
