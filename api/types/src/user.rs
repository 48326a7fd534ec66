//! People and services.

use custody_model::{Grants, Timestamp, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Who.
    pub name: UserName,
    /// What they may do.
    pub grants: Grants,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when they may do nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
}

/// A user to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// Who: 1 to 256 bytes without control characters.
    pub name: UserName,
    /// What they may do.
    #[serde(default)]
    pub grants: Grants,
}

/// Refuse somebody's tokens from now on, or take that back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchUser {
    /// Why, in words; at most 4096 bytes.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub reason: String,
}
