//! Tokens of the local issuer: JWT access tokens (RFC 9068).

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use custody_model::{Scope, Timestamp, TokenId, TokenKind, UserName};
use serde::Serialize;

/// Longest life of an access token: a day.
pub const MAX_ACCESS_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest life of a service token: a leap year.
pub const MAX_SERVICE_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The `typ` of an access token (RFC 9068, section 2.1).
pub(crate) const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// The longest life of a token of this kind.
#[must_use]
pub const fn max_lifetime(kind: TokenKind) -> Duration {
    match kind {
        TokenKind::Access => MAX_ACCESS_LIFETIME,
        TokenKind::Service => MAX_SERVICE_LIFETIME,
    }
}

/// What token is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// For whom.
    pub user: UserName,
    /// For what.
    pub kind: TokenKind,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// How long: at least a second, at most [`max_lifetime`]. Parts of a second are dropped.
    pub lifetime: Duration,
}

/// Why a token is not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Its life.
    #[error("a token's lifetime is between one second and {} seconds", .longest.as_secs())]
    Lifetime {
        /// The longest for its kind.
        longest: Duration,
    },
    /// The token, with so many scopes and so long a name, would be refused.
    #[error("the token would be longer than a token may be")]
    TooLong,
    /// The signature.
    #[error("the token can't be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// A token as it is sent: whoever has it is its user. It is printed by [`TokenText::expose`] alone.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one who asked for the token.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenText(redacted)")
    }
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    /// What is to be sent with calls.
    pub text: TokenText,
    /// Its `jti`, by which it can be revoked.
    pub id: TokenId,
    /// From when it is refused (but for [`crate::LEEWAY`]).
    pub expires_at: Timestamp,
}

/// The claims of a token of ours (RFC 9068, section 2.2), and `kind`.
#[derive(Serialize)]
pub(crate) struct LocalClaims<'a> {
    pub(crate) iss: &'a str,
    pub(crate) aud: &'a str,
    pub(crate) sub: &'a str,
    pub(crate) jti: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) scope: String,
    pub(crate) kind: &'static str,
}

/// The `scope` claim (RFC 9068, section 2.2.3): words and single spaces.
pub(crate) fn scope_claim(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}
