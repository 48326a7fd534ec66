//! The control log.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use custody_session::Orchestrator;

use super::{Kept, checkpoint_answer, no_checkpoint, tile_answer};
use crate::error::ApiError;

pub(crate) async fn checkpoint(
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Response, ApiError> {
    let path = orchestrator.plane().log().dir().join("checkpoint");
    match tokio::task::spawn_blocking(move || std::fs::read(path)).await? {
        Ok(bytes) => Ok(checkpoint_answer(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(no_checkpoint()),
        Err(error) => Err(ApiError::internal(error)),
    }
}

pub(crate) async fn tile(
    State(orchestrator): State<Arc<Orchestrator>>,
    Path(tile): Path<String>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    tile_answer(orchestrator.plane().log().dir().to_owned(), tile, Kept::Private, &asked).await
}
