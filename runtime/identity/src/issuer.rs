//! Issuers: who signs tokens, for whom, and which user their claims mean.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use custody_model::{Scope, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TokenError;
use crate::claims::Claims;

/// A short name of an issuer in this installation: 1 to 32 of `a-z`, `0-9` and `-`. `local` is the local issuer.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = "^[a-z0-9-]{1,32}$"))]
pub struct IssuerAlias(String);

/// Why a text is not an issuer's alias.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an issuer's alias: 1 to 32 of a-z, 0-9 and '-' are wanted")]
pub struct InvalidAlias(String);

impl IssuerAlias {
    /// The local issuer's.
    #[must_use]
    pub fn local() -> Self {
        Self("local".to_owned())
    }

    /// The alias.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IssuerAlias {
    type Error = InvalidAlias;

    fn try_from(text: String) -> Result<Self, InvalidAlias> {
        let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let valid = (1..=32).contains(&text.len()) && text.bytes().all(known);
        if valid { Ok(Self(text)) } else { Err(InvalidAlias(text)) }
    }
}

impl From<IssuerAlias> for String {
    fn from(alias: IssuerAlias) -> Self {
        alias.0
    }
}

impl FromStr for IssuerAlias {
    type Err = InvalidAlias;

    fn from_str(text: &str) -> Result<Self, InvalidAlias> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for IssuerAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tokens of an external issuer may be used for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExternalScopes {
    /// What their `scope` claim says (RFC 9068, section 2.2.3); words that are no scopes of ours are passed over.
    Claimed,
    /// Always these: for issuers that know nothing of our scopes.
    Fixed(BTreeSet<Scope>),
}

/// An issuer outside: an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalIssuer {
    /// Its name here.
    pub alias: IssuerAlias,
    /// Its tokens' `iss`, compared byte by byte.
    pub issuer: String,
    /// What its tokens must have in `aud`.
    pub audience: String,
    /// The claim that names the user, usually `sub`. For `email`, `email_verified` must not be there or be `true`.
    pub user_claim: String,
    /// What is put before the claim to make a user's name. `None` is the alias and a colon, so that nobody outside can
    /// take the name of a user here; an empty prefix lets the issuer name every user.
    pub prefix: Option<String>,
    /// What its tokens may be used for.
    pub scopes: ExternalScopes,
}

impl ExternalIssuer {
    /// The user that the claims name.
    pub(crate) fn user(&self, claims: &Claims) -> Result<UserName, TokenError> {
        if self.user_claim == "email"
            && claims.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true))
        {
            return Err(TokenError::InvalidUser);
        }
        let name = claims.text(&self.user_claim).filter(|name| !name.is_empty());
        let name = name.ok_or(TokenError::InvalidUser)?;
        let name = match &self.prefix {
            Some(prefix) => format!("{prefix}{name}"),
            None => format!("{}:{name}", self.alias),
        };
        name.parse().map_err(|_| TokenError::InvalidUser)
    }

    pub(crate) fn scopes(&self, claims: &Claims) -> BTreeSet<Scope> {
        match &self.scopes {
            ExternalScopes::Claimed => scopes_of(claims.text("scope").unwrap_or_default()),
            ExternalScopes::Fixed(scopes) => scopes.clone(),
        }
    }
}

/// The scopes among the words of a `scope` claim. Unknown words give nothing.
pub(crate) fn scopes_of(text: &str) -> BTreeSet<Scope> {
    text.split(' ').filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_cannot_be_mistaken_for_a_prefix_of_another() {
        for text in ["a", "corp-2", &"x".repeat(32)] {
            assert_eq!(text.parse::<IssuerAlias>().unwrap().as_str(), text);
        }
        for text in ["", "a:b", "A", "a b", "a/b", "ä", &"x".repeat(33)] {
            assert!(text.parse::<IssuerAlias>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn words_that_are_no_scopes_give_nothing() {
        let scopes = scopes_of("openid sessions:read  SESSIONS:WRITE profile control:read");
        assert_eq!(scopes, BTreeSet::from([Scope::SessionsRead, Scope::ControlRead]));
        assert!(scopes_of("").is_empty());
    }
}
