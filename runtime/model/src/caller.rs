//! Who calls the API, from where, and what they hold.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Grants, ProjectName, RequestId, Role, Scope, TokenId, UserName};

/// How a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// HTTP over TCP: a token says who calls.
    Tcp,
    /// HTTP over the Unix socket: the kernel says who calls (`SO_PEERCRED`).
    Unix,
}

/// Where a call came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// How it came in.
    pub transport: Transport,
    /// The peer's address and port, or `uid:N,pid:N` of a Unix socket's peer.
    pub address: String,
    /// The call.
    pub request: RequestId,
}

/// Somebody who is known and calls. Made where the token or the peer was checked, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: UserName,
    /// With which token; absent for the local operator on the Unix socket.
    pub token: Option<TokenId>,
    /// What the user may do.
    pub grants: Grants,
    /// What the token may be used for.
    pub scopes: BTreeSet<Scope>,
    /// From where.
    pub origin: Origin,
}

impl Caller {
    /// Whether the caller holds `role` in `project` (over the installation for `None`).
    #[must_use]
    pub fn has(&self, role: Role, project: Option<&ProjectName>) -> bool {
        self.grants.has(role, project)
    }
}
