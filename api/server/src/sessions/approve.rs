//! Approves a session.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::{ApproveSession, Session};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::place::with_place;
use crate::answer::Json;
use crate::asked::MayAsk;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn approve(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    MayAsk(asked): MayAsk<ApproveSession>,
) -> Result<Json<Session>, ApiError> {
    let (author, approver) = (&admitted.author, &admitted.caller.user);
    let row = orchestrator.approve(author, row.id, approver, &asked.comment).await?;
    Ok(Json(with_place(&orchestrator, super::shown(row)).await?))
}
