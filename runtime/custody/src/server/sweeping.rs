//! Lets the sweeper pass now and then: what policies say about the end of contents happens without anybody asking for it.

use std::sync::Arc;
use std::time::Duration;

use custody_api_server::error::chain;
use custody_api_server::{Lifecycle, Metrics};
use custody_control::Author;
use custody_session::{Orchestrator, SessionError};

use super::whole::Whole;
use crate::config::Retention as Settings;

/// Begins the passes, the first one at once; they end when the server drains.
pub(super) fn begin(whole: &Whole, settings: &Settings) {
    if !settings.sweep {
        tracing::info!("nothing is swept: retention.sweep is off");
        return;
    }
    let period = Duration::from_secs(settings.sweep_interval.0);
    let (orchestrator, metrics) = (whole.orchestrator.clone(), whole.metrics.clone());
    whole.lifecycle.run(keep_sweeping(whole.lifecycle.clone(), orchestrator, metrics, period));
}

async fn keep_sweeping(
    lifecycle: Lifecycle,
    orchestrator: Arc<Orchestrator>,
    metrics: Arc<Metrics>,
    period: Duration,
) {
    loop {
        let swept = orchestrator.sweep(&Author::server(), false).await;
        metrics.swept(&swept);
        match &swept {
            Ok(swept) if swept.erased.is_empty() && swept.failed.is_empty() => {}
            Ok(swept) => tracing::info!(
                erased = swept.erased.len(),
                failed = swept.failed.len(),
                more = swept.more,
                "a pass of the sweeper ended"
            ),
            Err(error @ SessionError::Clock { .. }) => {
                tracing::error!(error = %chain(error), "THE CLOCK IS NOT BELIEVED, AND NOTHING IS SWEPT");
            }
            Err(error) => tracing::error!(error = %chain(error), "a pass of the sweeper failed"),
        }
        tokio::select! {
            () = tokio::time::sleep(period) => {}
            () = lifecycle.drained() => return,
        }
    }
}
