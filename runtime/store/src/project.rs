//! Projects, and which policy version is active in each.

use custody_model::{Digest, ProjectName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::HoldRow;

/// A project. Key: `name`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectRow {
    /// Its name.
    pub name: ProjectName,
    /// What it is, in words.
    pub description: String,
    /// Since when.
    pub created_at: Timestamp,
    /// The policy version that decides about new requests; nothing can be requested without one.
    pub active_policy: Option<Digest>,
    /// The legal hold of that version, which keeps the content of all sessions of the project.
    pub hold: Option<HoldRow>,
}
