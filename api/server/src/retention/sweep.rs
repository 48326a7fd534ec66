//! Erases what is due.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::retention::{Sweep, SweepFailure, SweepRetention};
use custody_control::Author;
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::asked::MayAsk;
use crate::error::ApiError;
use crate::gate::Admitted;
use crate::metrics::Metrics;

pub(crate) async fn sweep(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(metrics): State<Arc<Metrics>>,
    MayAsk(asked): MayAsk<SweepRetention>,
) -> Result<Json<Sweep>, ApiError> {
    if asked.clock_is_right {
        orchestrator.believe_clock().await?;
    }
    // The policy decides what is erased, not who lets the pass begin: their call is its cause.
    let author = Author { cause: admitted.author.cause, ..Author::server() };
    let swept = orchestrator.sweep(&author, asked.dry_run).await;
    if !asked.dry_run {
        metrics.swept(&swept);
    }
    let swept = swept?;
    let failed = swept.failed.into_iter();
    Ok(Json(Sweep {
        at: swept.at,
        dry_run: asked.dry_run,
        erased: swept.erased,
        failed: failed.map(|(session, reason)| SweepFailure { session, reason }).collect(),
        more: swept.more,
    }))
}
