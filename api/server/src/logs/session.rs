//! The log of a session, once its record is sealed: before, the journal alone counts.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use custody_record::Reader;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::{Kept, checkpoint_answer, no_checkpoint, tile_answer};
use crate::error::ApiError;
use crate::gate::Found;

/// The directory of a record that is sealed.
async fn sealed(record: PathBuf) -> Result<Option<PathBuf>, ApiError> {
    let found = tokio::task::spawn_blocking(move || {
        Reader::open(&record).map(|reader| reader.is_sealed().then_some(record))
    });
    Ok(found.await??)
}

pub(crate) async fn checkpoint(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Response, ApiError> {
    let record = sealed(orchestrator.record(row.id)).await?.ok_or_else(no_checkpoint)?;
    let read = tokio::task::spawn_blocking(move || std::fs::read(record.join("checkpoint")));
    Ok(checkpoint_answer(read.await?.map_err(ApiError::internal)?))
}

pub(crate) async fn tile(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Path((session, tile)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let record = sealed(orchestrator.record(row.id)).await?;
    let record = record.ok_or_else(|| ApiError::not_found("tile", &tile))?;
    // `last`, or the beginning of an id, may mean another session tomorrow.
    let kept = match session == row.id.to_string() {
        true => Kept::Private,
        false => Kept::Never,
    };
    tile_answer(record, tile, kept).await
}
