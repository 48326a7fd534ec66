//! Whose tokens are believed: the local issuer, and those of the configuration with their key sets.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use custody_api_server::{FetchKeys, Identity};
use custody_identity::{
    ExternalIssuer, ExternalScopes, IssuerAlias, KeySet, LocalIssuer, LocalIssuerOptions,
    MAX_KEY_SET_BYTES, Verifier,
};
use custody_model::ErrorCode;

use crate::config::{Identity as Settings, KeySetPlace};
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// How often the keys of an issuer are read anew because of a token with an unknown key, at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// How long a key set may take to come.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// Who vouches for callers.
pub(super) fn identity(wire: &Wire, settings: &Settings) -> Result<Identity, Failure> {
    let options = LocalIssuerOptions {
        dir: wire.state.issuer(),
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
    };
    let local = LocalIssuer::open(options, wire.clock.now())
        .explain(ErrorCode::Io, "the issuer's keys can't be used")?;
    let unusable = "the issuers of the configuration can't be used";
    let mut verifier = Verifier::new().with_leeway(Duration::from_secs(settings.leeway.0));
    verifier.trust_local(&local).explain(ErrorCode::Invalid, unusable)?;
    let mut places = BTreeMap::new();
    for external in &settings.external {
        let alias: IssuerAlias = external.name.parse().explain(ErrorCode::Invalid, unusable)?;
        places.insert(alias.clone(), external.jwks.clone());
        let issuer = ExternalIssuer {
            alias,
            issuer: external.issuer.clone(),
            audience: external.audience.clone(),
            user_claim: external.user_claim.clone(),
            prefix: Some(external.prefix()),
            scopes: match &external.scopes {
                Some(scopes) => ExternalScopes::Fixed(scopes.clone()),
                None => ExternalScopes::Claimed,
            },
        };
        verifier.trust_external(issuer, KeySet::default()).explain(ErrorCode::Invalid, unusable)?;
    }
    Ok(Identity::new(local, verifier, Box::new(Places(places)), INTERVAL))
}

/// Where key sets are.
struct Places(BTreeMap<IssuerAlias, KeySetPlace>);

/// Why a key set is not there.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("there is no issuer {0} in the configuration")]
    Unknown(IssuerAlias),
    #[error("it is longer than {MAX_KEY_SET_BYTES} bytes")]
    TooLong,
}

#[async_trait]
impl FetchKeys for Places {
    async fn fetch(&self, issuer: &IssuerAlias) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        match self.0.get(issuer) {
            None => Err(FetchError::Unknown(issuer.clone()).into()),
            Some(KeySetPlace::File(path)) => {
                if tokio::fs::metadata(path).await?.len() > MAX_KEY_SET_BYTES as u64 {
                    return Err(FetchError::TooLong.into());
                }
                Ok(tokio::fs::read(path).await?)
            }
            Some(KeySetPlace::Url(url)) => fetch(&url.to_string()).await,
        }
    }
}

async fn fetch(url: &str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    // Somebody else may have installed one: it serves as well.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(FETCH_TIME)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let mut response = client.get(url).send().await?.error_for_status()?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > MAX_KEY_SET_BYTES {
            return Err(FetchError::TooLong.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
