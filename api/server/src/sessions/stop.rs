//! Stops a session.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::{Session, StopSession};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use crate::answer::Json;
use crate::asked::MayAsk;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn stop(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    MayAsk(asked): MayAsk<StopSession>,
) -> Result<Json<Session>, ApiError> {
    let row = orchestrator.stop(&admitted.author, row.id, &asked.reason).await?;
    Ok(Json(super::shown(row)))
}
