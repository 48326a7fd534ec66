//! Rejects a session.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::{RejectSession, Session};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use crate::answer::Json;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn reject(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<RejectSession>,
) -> Result<Json<Session>, ApiError> {
    let (author, approver) = (&admitted.author, &admitted.caller.user);
    let row = orchestrator.reject(author, row.id, approver, &asked.reason).await?;
    Ok(Json(super::shown(row)))
}
