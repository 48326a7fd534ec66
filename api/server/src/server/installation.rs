//! The installation, and whose keys its records are signed with.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::server::Installation;
use custody_record::KeyHistory;
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::error::ApiError;

pub(crate) async fn installation(
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Json<Installation>, ApiError> {
    let dir = orchestrator.state().keys();
    // Read each time: a key may be rotated while this server runs.
    let read = tokio::task::spawn_blocking(move || KeyHistory::read(&dir)).await?;
    let history = read.map_err(ApiError::internal)?;
    let keys = history.keys().map(|(key, _)| key.to_string()).collect();
    Ok(Json(Installation { name: history.current().name().to_owned(), keys }))
}
