//! The log of a session: while it lives up to the head that its keeper signed last, and as it was sealed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use custody_record::tlog::TilePath;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::living::LivingLogs;
use super::{Kept, Sent, Transparency, checkpoint_answer, compressed, no_checkpoint};
use crate::error::ApiError;
use crate::gate::Found;

pub(crate) async fn checkpoint(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Response, ApiError> {
    let record = orchestrator.record(row.id);
    let read = tokio::task::spawn_blocking(move || LivingLogs::head(&record)).await?;
    Ok(checkpoint_answer(read?.ok_or_else(no_checkpoint)?))
}

pub(crate) async fn tile(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
    Path((session, path)): Path<(String, String)>,
    asked: HeaderMap,
) -> Result<Response, ApiError> {
    let unknown = || ApiError::not_found("tile", &path);
    let tile: TilePath = path.parse().map_err(|_| unknown())?;
    let record = orchestrator.record(row.id);
    let gzip = compressed::is_accepted(&asked);
    let read = tokio::task::spawn_blocking(move || {
        let bytes = transparency.living.tile(row.id, &record, &tile)?;
        let sent = bytes.map(|bytes| Sent::new(bytes, &tile, gzip)).transpose();
        sent.map_err(ApiError::internal)
    });
    let sent = read.await??.ok_or_else(unknown)?;
    // `last`, or the beginning of an id, may mean another session tomorrow.
    let kept = match session == row.id.to_string() {
        true => Kept::Private,
        false => Kept::Never,
    };
    Ok(sent.response(&tile, kept))
}
