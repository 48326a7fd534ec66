//! People and services.

use custody_model::{Grants, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// Somebody who may call. Key: `name`; listed by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRow {
    /// Who.
    pub name: UserName,
    /// What they may do.
    pub grants: Grants,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when they may do nothing any more.
    pub disabled_at: Option<Timestamp>,
}
