//! Projects, as the API has them.

use custody_model::{Digest, ProjectName, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::retention::Held;

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// What it is, in words.
    pub description: String,
    /// Since when.
    pub created_at: Timestamp,
    /// The policy version that decides about new requests; nothing can be requested without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_policy: Option<Digest>,
    /// That version holds all sessions of the project: nothing erases their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// A project to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateProject {
    /// Its name.
    pub name: ProjectName,
    /// What it is, in words; at most 4096 bytes.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub description: String,
}
