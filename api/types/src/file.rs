//! Files that a session touched.

use custody_model::{Digest, GitOid, Timestamp, WorkspacePath};
use custody_record::witness::WitnessAssurance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the files that a session touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FilePage {
    /// The files, by path.
    pub items: Vec<SessionFile>,
    /// Where the list goes on: to be given as `after`. Absent at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Who but the installation vouches for the record that tells of them, up to its newest head in the installation log.
    #[serde(default)]
    pub witnesses: WitnessAssurance,
}

/// A file that a session touched, as its record tells it (git's own directory is left out).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionFile {
    /// Which.
    pub path: WorkspacePath,
    /// It was opened for its content, or run.
    pub read: bool,
    /// It was created, written or truncated, or something was renamed to it.
    pub written: bool,
    /// It was removed or renamed away.
    pub removed: bool,
    /// A rule refused access to it.
    pub denied: bool,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// Place in the record of the first event that tells of it.
    pub first_seq: u64,
    /// Place in the record of the last one.
    pub last_seq: u64,
    /// Git's id of the first content that was read, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_blob: Option<GitOid>,
    /// SHA-256 of that content, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_digest: Option<Digest>,
    /// Git's id of the last content that was written, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_blob: Option<GitOid>,
    /// SHA-256 of that content, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_digest: Option<Digest>,
}
