//! Events of the control log.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::control::{ControlPage, ControlQuery};
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::asked::Query;
use crate::error::ApiError;
use crate::limits::Limits;

pub(crate) async fn events(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<ControlQuery>,
) -> Result<Json<ControlPage>, ApiError> {
    let limit = limits.page(query.limit)?;
    let from = query.from.unwrap_or(0);
    let log = orchestrator.plane().log().clone();
    // One more shows whether the log goes on.
    let read = tokio::task::spawn_blocking(move || log.read(from, limit + 1));
    let mut items = read.await??;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.seq + 1);
    Ok(Json(ControlPage { items, next }))
}
