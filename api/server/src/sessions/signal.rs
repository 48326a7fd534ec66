//! Sends a signal to a session's command.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::{Session, SignalSession};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use crate::answer::Json;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn signal(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<SignalSession>,
) -> Result<Json<Session>, ApiError> {
    let row = orchestrator.signal(&admitted.author, row.id, asked.signal).await?;
    Ok(Json(super::shown(row)))
}
