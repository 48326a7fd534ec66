//! Holds a session, and releases it.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::{HoldSession, ReleaseSession, Session};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::place::with_place;
use crate::answer::Json;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};
use crate::retention;

pub(crate) async fn hold(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<HoldSession>,
) -> Result<Json<Session>, ApiError> {
    let row = orchestrator.hold(&admitted.author, row.id, &asked.reason).await?;
    answered(&orchestrator, row).await
}

pub(crate) async fn release(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<ReleaseSession>,
) -> Result<Json<Session>, ApiError> {
    let row = orchestrator.release_hold(&admitted.author, row.id, &asked.reason).await?;
    answered(&orchestrator, row).await
}

async fn answered(orchestrator: &Orchestrator, row: SessionRow) -> Result<Json<Session>, ApiError> {
    let retention = retention::of(orchestrator, &row).await?;
    let session = with_place(orchestrator, super::shown(row)).await?;
    Ok(Json(Session { retention, ..session }))
}
