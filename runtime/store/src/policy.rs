//! Policy versions.

use custody_model::{Digest, ProjectName, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::RetentionRow;

/// A version of a project's policy. It never changes. Key: `project`, `digest`; listed newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRow {
    /// Whose.
    pub project: ProjectName,
    /// Digest of the document's canonical form: the version.
    pub digest: Digest,
    /// The policy's name.
    pub name: String,
    /// The document, as its admin wrote it.
    pub document: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Who wrote it; absent for the built-in one.
    pub created_by: Option<UserName>,
    /// What it says of retention.
    pub retention: RetentionRow,
}
