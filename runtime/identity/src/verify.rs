//! The check of a token: from bytes that anybody could have sent to a user, or to the reason why not.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use custody_model::{Scope, Timestamp, TokenId, UserName};

use crate::claims::{Claims, later};
use crate::compact::Compact;
use crate::issuer::scopes_of;
use crate::token::ACCESS_TOKEN_TYPE;
use crate::{ExternalIssuer, IssuerAlias, KeySet, LocalIssuer, Part, TokenError};
use custody_model::TokenKind;

/// Longest token, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 << 10;

/// How far the clocks of an issuer and of this machine may be apart.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// The most that [`Verifier::with_leeway`] takes.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who vouches for it.
    pub issuer: IssuerAlias,
    /// Who calls.
    pub user: UserName,
    /// The token's id; `None` for an external token, whose `jti` is only unique at its issuer.
    pub token: Option<TokenId>,
    /// What it is for; external ones are [`TokenKind::Access`].
    pub kind: TokenKind,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// From when it is refused (but for the leeway).
    pub expires_at: Timestamp,
}

/// Two issuers that can't be told apart.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IssuerConflict {
    /// They have the same `iss`.
    #[error("there is another issuer {0:?}")]
    Issuer(String),
    /// They have the same alias.
    #[error("there is another issuer with the alias {0}")]
    Alias(IssuerAlias),
}

/// No issuer has this alias.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no issuer with the alias {0}")]
pub struct UnknownIssuer(IssuerAlias);

#[derive(Clone, Debug)]
enum Kind {
    Local,
    External(ExternalIssuer),
}

#[derive(Clone, Debug)]
struct Trusted {
    alias: IssuerAlias,
    audience: String,
    keys: KeySet,
    kind: Kind,
}

/// Checks tokens against the issuers that are trusted and their keys, at a time that is given.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// By `iss`.
    issuers: BTreeMap<String, Trusted>,
    leeway: Duration,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { issuers: BTreeMap::new(), leeway: LEEWAY }
    }
}

impl Verifier {
    /// Trusts nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes another leeway than [`LEEWAY`]; more than [`MAX_LEEWAY`] counts as that.
    #[must_use]
    pub fn with_leeway(self, leeway: Duration) -> Self {
        Self { leeway: leeway.min(MAX_LEEWAY), ..self }
    }

    /// Trusts the local issuer with the keys that it has now. After it rotated or reloaded them:
    /// [`Verifier::replace_keys`] with [`IssuerAlias::local`].
    ///
    /// # Errors
    /// [`IssuerConflict`].
    pub fn trust_local(&mut self, issuer: &LocalIssuer) -> Result<(), IssuerConflict> {
        let trusted = Trusted {
            alias: IssuerAlias::local(),
            audience: issuer.audience().to_owned(),
            keys: issuer.key_set(),
            kind: Kind::Local,
        };
        self.trust(issuer.issuer(), trusted)
    }

    /// Trusts an external issuer. An empty key set is one that was not fetched yet.
    ///
    /// # Errors
    /// [`IssuerConflict`].
    pub fn trust_external(
        &mut self,
        issuer: ExternalIssuer,
        keys: KeySet,
    ) -> Result<(), IssuerConflict> {
        if issuer.alias == IssuerAlias::local() {
            return Err(IssuerConflict::Alias(issuer.alias));
        }
        let name = issuer.issuer.clone();
        let trusted = Trusted {
            alias: issuer.alias.clone(),
            audience: issuer.audience.clone(),
            keys,
            kind: Kind::External(issuer),
        };
        self.trust(&name, trusted)
    }

    fn trust(&mut self, name: &str, trusted: Trusted) -> Result<(), IssuerConflict> {
        if self.issuers.contains_key(name) {
            return Err(IssuerConflict::Issuer(name.to_owned()));
        }
        if self.issuers.values().any(|other| other.alias == trusted.alias) {
            return Err(IssuerConflict::Alias(trusted.alias));
        }
        self.issuers.insert(name.to_owned(), trusted);
        Ok(())
    }

    /// Puts newer keys of an issuer in place of all that were known.
    ///
    /// # Errors
    /// [`UnknownIssuer`].
    pub fn replace_keys(&mut self, alias: &IssuerAlias, keys: KeySet) -> Result<(), UnknownIssuer> {
        let trusted = self.issuers.values_mut().find(|trusted| trusted.alias == *alias);
        trusted.ok_or_else(|| UnknownIssuer(alias.clone()))?.keys = keys;
        Ok(())
    }

    /// Checks a token (the text after `Bearer `) at the time `now`. Whether it was revoked, or its user disabled, is
    /// [`crate::caller`]'s question.
    ///
    /// # Errors
    /// [`TokenError`]; after one that [`TokenError::refresh`] answers for, newer keys may make the token valid.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, TokenError> {
        let token = Compact::parse(text)?;
        let claims = &token.claims;
        let issuer = claims.iss.as_ref().ok_or(TokenError::MissingIssuer)?;
        let trusted = self.issuers.get(issuer).ok_or(TokenError::WrongIssuer)?;
        let key = trusted
            .keys
            .key(&token.kid, now)
            .ok_or_else(|| TokenError::UnknownKey { issuer: trusted.alias.clone() })?;
        if token.algorithm != key.algorithm() {
            return Err(TokenError::WrongAlgorithm);
        }
        match key.verify(token.message, token.signature) {
            Ok(true) => {}
            Ok(false) => return Err(TokenError::WrongSignature),
            Err(_) => return Err(TokenError::Malformed(Part::Signature)),
        }
        // From here on the issuer said it.
        trusted.check_type(token.media_type.as_deref())?;
        match &claims.aud {
            None => return Err(TokenError::MissingAudience),
            Some(audience) if audience.names(&trusted.audience) => {}
            Some(_) => return Err(TokenError::WrongAudience),
        }
        let expires_at = self.check_time(claims, now)?;
        let (user, token, kind, scopes) = match &trusted.kind {
            Kind::Local => local(claims)?,
            Kind::External(external) => {
                (external.user(claims)?, None, TokenKind::Access, external.scopes(claims))
            }
        };
        Ok(Verified { issuer: trusted.alias.clone(), user, token, kind, scopes, expires_at })
    }

    fn check_time(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, TokenError> {
        let expires_at = claims.exp.ok_or(TokenError::MissingExpiry)?.0;
        if now >= later(expires_at, self.leeway) {
            return Err(TokenError::Expired);
        }
        let starts = [claims.nbf, claims.iat].into_iter().flatten();
        if starts.into_iter().any(|start| start.0 > later(now, self.leeway)) {
            return Err(TokenError::NotYetValid);
        }
        Ok(expires_at)
    }
}

impl Trusted {
    /// Ours are of one type. Others' often have none, or the general one; whatever else an issuer signs (a log-out, a
    /// proof of possession) is no access token (RFC 8725, section 3.11).
    fn check_type(&self, media_type: Option<&str>) -> Result<(), TokenError> {
        let fits = match (&self.kind, media_type) {
            (Kind::Local | Kind::External(_), Some(ACCESS_TOKEN_TYPE)) => true,
            (Kind::External(_), None | Some("jwt")) => true,
            (Kind::Local, None) | (_, Some(_)) => false,
        };
        if fits { Ok(()) } else { Err(TokenError::WrongType) }
    }
}

type Meaning = (UserName, Option<TokenId>, TokenKind, BTreeSet<Scope>);

/// What a token of ours says. All of it was written by [`LocalIssuer`].
fn local(claims: &Claims) -> Result<Meaning, TokenError> {
    let text = |name| claims.text(name).ok_or(TokenError::Malformed(Part::Claims));
    let user = claims.text("sub").and_then(|sub| sub.parse().ok());
    let id = text("jti")?.parse().map_err(|_| TokenError::Malformed(Part::Claims))?;
    let kind = text("kind")?.parse().map_err(|_| TokenError::Malformed(Part::Claims))?;
    let scopes = scopes_of(text("scope")?);
    Ok((user.ok_or(TokenError::InvalidUser)?, Some(id), kind, scopes))
}
