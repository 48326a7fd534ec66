//! Shows one session.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::Session;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::erase::with_erasure;
use super::place::with_place;
use crate::answer::Json;
use crate::error::ApiError;
use crate::gate::Found;
use crate::logs::Transparency;
use crate::retention;

pub(crate) async fn get(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
) -> Result<Json<Session>, ApiError> {
    let row = orchestrator.noticed(row).await?;
    let retention = retention::of(&orchestrator, &row).await?;
    let session = with_place(&orchestrator, super::shown(row)).await?;
    let session = with_erasure(&orchestrator, session).await?;
    let witnesses = Some(transparency.behind(&orchestrator, session.id).await?);
    Ok(Json(Session { retention, witnesses, ..session }))
}
