//! Tokens, as the API has them.

use std::collections::BTreeSet;

use custody_model::{Scope, Timestamp, TokenId, TokenKind, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A token, as far as it is on record: never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its `jti` (RFC 7519).
    pub id: TokenId,
    /// Whose.
    pub user: UserName,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// What it is called.
    pub label: String,
    /// The service token that it was made from: refused together with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TokenId>,
    /// Since when.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Since when it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// Longest life of a service token, in seconds: a leap year.
pub const MAX_SERVICE_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Longest life of an access token, in seconds: a day.
pub const MAX_ACCESS_SECONDS: u64 = 24 * 60 * 60;

/// Life of an access token of which nothing else is said, in seconds.
pub const DEFAULT_ACCESS_SECONDS: u64 = 60 * 60;

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Whose; the caller's without it. For others only admins of the installation ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// What it is for.
    #[serde(default = "service")]
    pub kind: TokenKind,
    /// What it may be used for; as much as the caller's token without it, never more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Scope>>,
    /// How long, in seconds: at most 31622400 (a service token) or 86400 (an access token).
    #[schemars(range(min = 1, max = MAX_SERVICE_SECONDS))]
    pub lifetime_seconds: u64,
    /// What it is called; at most 4096 bytes.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub label: String,
}

const fn service() -> TokenKind {
    TokenKind::Service
}

/// A token that was issued, with its text: it is given out this once and kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatedToken {
    /// What is on record of it.
    pub token: Token,
    /// What is to be sent as `Authorization: Bearer …`: a secret.
    pub text: String,
}

impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// An access token is wanted, made from the service token that the call carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeToken {
    /// How long, in seconds; 3600 without it, and never beyond the service token's own end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_ACCESS_SECONDS))]
    pub lifetime_seconds: Option<u64>,
    /// What it may be used for; as much as the service token without it, never more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Scope>>,
}

/// Which tokens are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenQuery {
    /// Of this user. Without it everybody's, for admins and auditors of the installation, or else the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// At most so many items; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::page::MAX_PAGE))]
    pub limit: Option<u32>,
    /// After the page that said this in `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,512}$"))]
    pub after: Option<String>,
}

/// Why a token is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeQuery {
    /// Why, in words; at most 4096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
}
