//! Erases the content of a session.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::session::{EraseSession, Erased, Session};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use crate::answer::Json;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn erase(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<EraseSession>,
) -> Result<Json<Session>, ApiError> {
    let row = orchestrator.erase(&admitted.author, row.id, &asked.reason).await?;
    Ok(Json(with_erasure(&orchestrator, super::shown(row)).await?))
}

/// One session with what is known of its erasure.
pub(super) async fn with_erasure(
    orchestrator: &Orchestrator,
    session: Session,
) -> Result<Session, ApiError> {
    if !session.state.is_final() {
        return Ok(session);
    }
    let erased = orchestrator.erasure(session.id).await?.map(|erasure| Erased {
        by: erasure.by,
        at: erasure.at,
        reason: erasure.reason,
        event: erasure.event,
    });
    Ok(Session { erased, ..session })
}
