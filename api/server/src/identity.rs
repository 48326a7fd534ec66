//! Who calls: the local issuer, the issuers that are trusted, and keys that are read anew when they may have changed.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use custody_control::ControlPlane;
use custody_identity::{
    IssuerAlias, KeyError, KeySet, LocalIssuer, PublicJwks, Revocation, TokenError, Verified,
    Verifier,
};
use custody_model::Timestamp;

/// Reads the key set of an external issuer anew.
#[async_trait]
pub trait FetchKeys: Send + Sync {
    /// The JSON Web Key Set (RFC 7517), at most [`custody_identity::MAX_KEY_SET_BYTES`].
    async fn fetch(&self, issuer: &IssuerAlias) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;
}

/// No external issuers.
#[derive(Debug)]
pub struct NoExternalIssuers;

/// Why nothing is fetched for an issuer.
#[derive(Debug, thiserror::Error)]
#[error("there is no external issuer {0}")]
struct NoSuchIssuer(IssuerAlias);

#[async_trait]
impl FetchKeys for NoExternalIssuers {
    async fn fetch(&self, issuer: &IssuerAlias) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        Err(Box::new(NoSuchIssuer(issuer.clone())))
    }
}

/// Who vouches for callers.
pub struct Identity {
    local: tokio::sync::RwLock<LocalIssuer>,
    verifier: RwLock<Verifier>,
    external: Box<dyn FetchKeys>,
    /// When the keys of an issuer were last asked for.
    asked: Mutex<HashMap<IssuerAlias, Timestamp>>,
    /// How often that is done at most: anybody can send tokens with made-up key ids.
    interval: Duration,
}

impl Identity {
    /// With these issuers; `verifier` trusts them already, the local one included.
    #[must_use]
    pub fn new(
        local: LocalIssuer,
        verifier: Verifier,
        external: Box<dyn FetchKeys>,
        interval: Duration,
    ) -> Self {
        Self {
            local: tokio::sync::RwLock::new(local),
            verifier: RwLock::new(verifier),
            external,
            asked: Mutex::default(),
            interval,
        }
    }

    /// The local issuer, to issue tokens with.
    pub async fn local(&self) -> tokio::sync::RwLockReadGuard<'_, LocalIssuer> {
        self.local.read().await
    }

    /// The public keys of the local issuer.
    pub async fn jwks(&self, now: Timestamp) -> PublicJwks {
        self.local().await.jwks(now)
    }

    /// Lets the local issuer sign with a new key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn rotate(&self, now: Timestamp) -> Result<(), KeyError> {
        let mut local = self.local.write().await;
        local.rotate(now)?;
        self.replace(&IssuerAlias::local(), local.key_set());
        Ok(())
    }

    /// Checks a token, with newer keys if its key is not known.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, TokenError> {
        let error = match self.verify_now(text, now) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        let Some(issuer) = error.refresh() else { return Err(error) };
        if !self.may_ask(issuer, now) {
            return Err(error);
        }
        self.refresh(issuer, now).await;
        self.verify_now(text, now)
    }

    fn verify_now(&self, text: &str, now: Timestamp) -> Result<Verified, TokenError> {
        self.verifier.read().unwrap_or_else(PoisonError::into_inner).verify(text, now)
    }

    fn may_ask(&self, issuer: &IssuerAlias, now: Timestamp) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX);
        let recently = asked.get(issuer).is_some_and(|at| now.micros_since(*at) < interval);
        if !recently {
            asked.insert(issuer.clone(), now);
        }
        !recently
    }

    /// Reads the keys of an issuer anew. If that fails, those that are known stay.
    pub async fn refresh(&self, issuer: &IssuerAlias, now: Timestamp) {
        if *issuer == IssuerAlias::local() {
            let mut local = self.local.write().await;
            match local.reload(now) {
                Ok(()) => self.replace(issuer, local.key_set()),
                Err(error) => tracing::error!(%error, "the local issuer's keys can't be read"),
            }
            return;
        }
        match self.external.fetch(issuer).await {
            Err(error) => {
                tracing::warn!(%issuer, error = %crate::error::chain(&*error), "an issuer's keys can't be fetched");
            }
            Ok(bytes) => match KeySet::parse(&bytes) {
                Ok(keys) => self.replace(issuer, keys),
                Err(error) => tracing::warn!(%issuer, %error, "an issuer's keys can't be used"),
            },
        }
    }

    fn replace(&self, issuer: &IssuerAlias, keys: KeySet) {
        let mut verifier = self.verifier.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = verifier.replace_keys(issuer, keys) {
            tracing::error!(%error, "keys of an issuer that is not trusted");
        }
    }
}

/// Whether a token that was valid still is: streams last longer than a look at it.
pub(crate) async fn still_valid(plane: &ControlPlane, verified: &Verified) -> bool {
    if plane.now() >= verified.expires_at {
        return false;
    }
    match plane.standing(verified).await {
        Ok((_, Revocation::None)) => true,
        Ok((_, Revocation::Token | Revocation::UserDisabled | Revocation::UnknownUser)) => false,
        // Not known: the next look will tell.
        Err(_) => true,
    }
}
