//! Whoever calls.

use std::collections::BTreeSet;

use custody_model::{Grants, Scope, TokenId, Transport, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who calls, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Me {
    /// Who.
    pub user: UserName,
    /// What the user may do.
    pub grants: Grants,
    /// What the token may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The token; absent for the local operator and for tokens of external issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    /// How the call came in.
    pub transport: Transport,
}
