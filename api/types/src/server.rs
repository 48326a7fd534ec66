//! The server itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What it is.
    pub status: HealthStatus,
}

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It works.
    Ok,
}

/// The server can do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Readiness {
    /// It is.
    pub status: HealthStatus,
    /// Events of the control log that the store shows.
    pub applied: u64,
}

/// The installation, and the keys that its logs and records are signed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Installation {
    /// Its name, as its logs and its tokens have it.
    pub name: String,
    /// Its verifier keys in full (C2SP signed-note): the last one signs now, the others signed older notes.
    pub keys: Vec<String>,
}

/// What this server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Custody's version.
    pub version: String,
    /// The API's.
    pub api: String,
    /// The commit that it was built from, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The installation, as its log and its tokens name it.
    pub installation: String,
}
