//! Tokens, as far as they are on record: never the token itself.

use std::collections::BTreeSet;

use custody_model::{Scope, Timestamp, TokenId, TokenKind, UserName};
use serde::{Deserialize, Serialize};

/// A token that was issued here. Key: `id`; listed newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
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
    pub parent: Option<TokenId>,
    /// Since when.
    pub issued_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// Since when it is refused.
    pub revoked_at: Option<Timestamp>,
}
