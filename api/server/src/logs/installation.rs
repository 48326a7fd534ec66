//! The installation log.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use custody_api_types::endpoint::Part;
use custody_record::InstallationLog;
use custody_session::Orchestrator;

use super::{Kept, Transparency, checkpoint_answer, no_checkpoint, tile_answer};
use crate::error::ApiError;

pub(crate) async fn checkpoint(
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Response, ApiError> {
    let dir = orchestrator.state().log();
    let read = tokio::task::spawn_blocking(move || InstallationLog::published(&dir)).await?;
    let bytes = read.map_err(ApiError::internal)?.ok_or_else(no_checkpoint)?;
    Ok(checkpoint_answer(bytes))
}

pub(crate) async fn tile(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
    Path(tile): Path<String>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    tile_answer(
        orchestrator.state().log(),
        tile,
        Kept::published(transparency.covers(Part::Hashes)),
        &asked,
    )
    .await
}

pub(crate) async fn entries(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
    Path(bundle): Path<String>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let tile = format!("entries/{bundle}");
    tile_answer(
        orchestrator.state().log(),
        tile,
        Kept::published(transparency.covers(Part::Entries)),
        &asked,
    )
    .await
}
