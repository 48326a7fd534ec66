//! Keys in the course of time: those of other issuers are read anew, and the local issuer gets a new one now and then.

use std::sync::Arc;
use std::time::Duration;

use custody_api_server::{Identity, Lifecycle};
use custody_control::{Author, ControlPlane};
use custody_identity::IssuerAlias;
use custody_model::Timestamp;
use custody_record::control::{ControlBody, KeyRotated};

use crate::config::Identity as Settings;

/// How long a key of the local issuer signs.
const SIGNS_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How often its age is looked at.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Begins the tasks that look after keys; each ends when the server drains.
pub(super) fn look_after(
    lifecycle: &Lifecycle,
    identity: &Arc<Identity>,
    plane: &Arc<ControlPlane>,
    settings: &Settings,
) {
    for external in &settings.external {
        let Ok(alias) = external.name.parse::<IssuerAlias>() else { continue };
        let period = Duration::from_secs(external.refresh.0);
        let (identity, plane, life) = (identity.clone(), plane.clone(), lifecycle.clone());
        lifecycle.run(async move {
            loop {
                identity.refresh(&alias, plane.now()).await;
                if !sleep(&life, period).await {
                    return;
                }
            }
        });
    }
    let (identity, plane, life) = (identity.clone(), plane.clone(), lifecycle.clone());
    lifecycle.run(async move {
        loop {
            if is_old(identity.local().await.signing_since(), plane.now()) {
                rotate(&identity, &plane).await;
            }
            if !sleep(&life, LOOK).await {
                return;
            }
        }
    });
}

fn is_old(since: Option<Timestamp>, now: Timestamp) -> bool {
    let limit = u64::try_from(SIGNS_FOR.as_micros()).unwrap_or(u64::MAX);
    since.is_some_and(|since| now.micros_since(since) >= limit)
}

async fn rotate(identity: &Identity, plane: &ControlPlane) {
    if let Err(error) = identity.rotate(plane.now()).await {
        tracing::error!(%error, "the local issuer gets no new key");
        return;
    }
    let newest = identity.jwks(plane.now()).await.keys.pop();
    let Some(key) = newest.map(|key| key.kid().to_string()) else { return };
    let body = ControlBody::KeyRotated(KeyRotated { key, rotation: None });
    if let Err(error) = plane.record(&Author::server(), vec![body]).await {
        tracing::error!(%error, "that the local issuer has a new key can't be put on record");
    }
}

/// Waits; `false` if the server drains.
async fn sleep(lifecycle: &Lifecycle, period: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(period) => true,
        () = lifecycle.drained() => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_after_ninety_days() {
        let day = |n: i64| Timestamp::from_micros(n * 24 * 60 * 60 * 1_000_000);
        assert!(!is_old(Some(day(0)), day(89)));
        assert!(is_old(Some(day(0)), day(90)));
        assert!(!is_old(None, day(90)));
    }
}
