//! Repositories.

use custody_model::{ProjectName, Timestamp};
use serde::{Deserialize, Serialize};

/// A repository that is mirrored here. Key: `name`; listed by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositoryRow {
    /// Its name in this installation.
    pub name: String,
    /// Whose.
    pub project: ProjectName,
    /// Where its history comes from, without credentials.
    pub source: String,
    /// Since when.
    pub registered_at: Timestamp,
}
