//! The workers that send what is recorded: one for each destination of the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use custody_api_server::Metrics;
use custody_model::{ErrorCode, SessionId};
use custody_push::{Counted, Counter, Positions, Pusher, Records, Setup, Unknown};
use custody_session::{Orchestrator, records};

use super::whole::Whole;
use crate::config::Settings;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// How often a worker looks for what is new.
const POLL: Duration = Duration::from_millis(500);

/// States of sessions whose records may begin or go on.
const LIVE: &[&str] =
    &["requested", "awaiting_approval", "queued", "provisioning", "running", "paused", "stopping"];

/// Begins the workers; each ends when the server drains, and goes on where it was at the next start.
pub(super) async fn begin(wire: &Wire, settings: &Settings, whole: &Whole) -> Result<(), Failure> {
    if settings.push.destinations.is_empty() {
        return Ok(());
    }
    // Somebody else may have installed one: it serves as well.
    let _already = rustls::crypto::ring::default_provider().install_default();
    let unusable = "the positions of push.destinations can't be used";
    let positions =
        Positions::open(&wire.state.path().join("push")).explain(ErrorCode::Io, unusable)?;
    for to in &settings.push.destinations {
        let destination = to
            .resolve(&wire.sources.environment)
            .explain(ErrorCode::Invalid, format!("push destination {}", to.name))?;
        let setup = Setup {
            destination,
            records: Arc::new(Own(whole.orchestrator.clone())),
            positions: positions.clone(),
            counter: Arc::new(Counts(whole.metrics.clone())),
            clock: wire.clock.clone(),
            random: Arc::new(|| getrandom::u32().unwrap_or_default()),
            poll: POLL,
        };
        let pusher = Pusher::open(setup)
            .await
            .explain(ErrorCode::Io, format!("nothing can be sent to {}", to.name))?;
        let life = whole.lifecycle.clone();
        whole.lifecycle.run(async move {
            tokio::select! {
                () = pusher.run() => {}
                () = life.drained() => {}
            }
        });
    }
    Ok(())
}

/// The records of this installation.
struct Own(Arc<Orchestrator>);

#[async_trait]
impl Records for Own {
    async fn live(&self) -> Result<BTreeSet<SessionId>, Unknown> {
        let rows = self.0.plane().store().sessions_in(LIVE).await;
        let rows = rows.map_err(|error| Unknown(Box::new(error)))?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    async fn all(&self) -> Result<BTreeSet<SessionId>, Unknown> {
        let state = self.0.state().clone();
        let all = tokio::task::spawn_blocking(move || records::all(&state)).await;
        let all = all.map_err(|error| Unknown(Box::new(error)))?;
        Ok(all.map_err(|error| Unknown(Box::new(error)))?.into_iter().collect())
    }

    fn record(&self, session: SessionId) -> PathBuf {
        self.0.record(session)
    }
}

/// What `/metrics` shows of the workers.
struct Counts(Arc<Metrics>);

impl Counter for Counts {
    fn count(&self, destination: &str, what: Counted, more: u64) {
        self.0.pushed(destination, what.as_str(), more);
    }

    fn pending(&self, destination: &str, sessions: u64) {
        self.0.push_pending(destination, sessions);
    }
}
