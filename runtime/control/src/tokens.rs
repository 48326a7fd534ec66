//! Tokens: issued, looked up and revoked. The text of a token is given out once and kept nowhere.

use std::collections::BTreeSet;
use std::time::Duration;

use custody_identity::{IssuedToken, LocalIssuer, Revocation, TokenRequest, Verified};
use custody_model::{Grants, Scope, Timestamp, TokenId, TokenKind, UserName};
use custody_record::control::{ControlBody, TokenIssued, TokenRevoked};
use custody_store::TokenRow;

use crate::author::Author;
use crate::error::ControlError;
use crate::plane::ControlPlane;
use crate::projects::short;

/// What token is wanted.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose.
    pub user: UserName,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// How long.
    pub lifetime: Duration,
    /// What it is called.
    pub label: String,
    /// The service token that it is made from.
    pub parent: Option<TokenId>,
}

impl ControlPlane {
    /// Issues a token. It is on record before anybody has it.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] if there is no such user, [`ControlError::Issue`].
    pub async fn issue_token(
        &self,
        author: &Author,
        issuer: &LocalIssuer,
        wanted: NewToken,
    ) -> Result<(TokenRow, IssuedToken), ControlError> {
        short("label", &wanted.label)?;
        let user = self.user(&wanted.user).await?;
        if user.disabled_at.is_some() {
            return Err(ControlError::Conflict(format!("the user {} is disabled", user.name)));
        }
        let now = self.now();
        let id = TokenId::new(now, self.random()?);
        let request = TokenRequest {
            user: wanted.user.clone(),
            kind: wanted.kind,
            scopes: wanted.scopes.clone(),
            lifetime: wanted.lifetime,
        };
        let issued = issuer.issue(&request, id, now).map_err(ControlError::Issue)?;
        let body = ControlBody::TokenIssued(TokenIssued {
            token: id,
            user: wanted.user,
            kind: wanted.kind,
            scopes: wanted.scopes,
            expires_at: issued.expires_at,
            label: wanted.label,
            parent: wanted.parent,
        });
        self.record(author, vec![body]).await?;
        Ok((self.token(&id).await?, issued))
    }

    /// The token of this id.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn token(&self, id: &TokenId) -> Result<TokenRow, ControlError> {
        let row = self.store().token(id).await?;
        row.ok_or_else(|| ControlError::NotFound { what: "token", name: id.to_string() })
    }

    /// Refuses a token, and what was made from it, from now on.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn revoke_token(
        &self,
        author: &Author,
        id: &TokenId,
        reason: &str,
    ) -> Result<TokenRow, ControlError> {
        short("reason", reason)?;
        if self.token(id).await?.revoked_at.is_none() {
            let revoked = TokenRevoked { token: *id, reason: reason.to_owned() };
            self.record(author, vec![ControlBody::TokenRevoked(revoked)]).await?;
        }
        self.token(id).await
    }

    /// What is known here of a token that is valid by its signature, and of whoever it names.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standing(
        &self,
        verified: &Verified,
    ) -> Result<(Grants, Revocation), ControlError> {
        let Some(user) = self.store().user(&verified.user).await? else {
            return Ok((Grants::default(), Revocation::UnknownUser));
        };
        if user.disabled_at.is_some() {
            return Ok((user.grants, Revocation::UserDisabled));
        }
        let mut next = verified.token;
        // An access token has one parent, which has none.
        for _generation in 0..2 {
            let Some(id) = next else { break };
            match self.store().token(&id).await? {
                // Signed here and not on record: nobody is meant to have it.
                None => return Ok((user.grants, Revocation::Token)),
                Some(row) if row.revoked_at.is_some() || row.user != verified.user => {
                    return Ok((user.grants, Revocation::Token));
                }
                Some(row) => next = row.parent,
            }
        }
        Ok((user.grants, Revocation::None))
    }
}

/// Whether a service token that is shown may make access tokens until `until`: not beyond its own end.
#[must_use]
pub fn lifetime_within(asked: Duration, now: Timestamp, end: Timestamp) -> Duration {
    asked.min(Duration::from_micros(end.micros_since(now)))
}
