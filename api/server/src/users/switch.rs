//! Refuses all tokens of a user, or takes that back.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::user::{SwitchUser, User};
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::asked::MayAsk;
use crate::error::ApiError;
use crate::gate::{Admitted, Named};

pub(crate) async fn disable(
    admitted: Admitted,
    Named(user): Named,
    State(orchestrator): State<Arc<Orchestrator>>,
    MayAsk(asked): MayAsk<SwitchUser>,
) -> Result<Json<User>, ApiError> {
    let plane = orchestrator.plane();
    let row = plane.switch_user(&admitted.author, &user, false, &asked.reason).await?;
    Ok(Json(super::shown(row)))
}

pub(crate) async fn enable(
    admitted: Admitted,
    Named(user): Named,
    State(orchestrator): State<Arc<Orchestrator>>,
    MayAsk(asked): MayAsk<SwitchUser>,
) -> Result<Json<User>, ApiError> {
    let plane = orchestrator.plane();
    let row = plane.switch_user(&admitted.author, &user, true, &asked.reason).await?;
    Ok(Json(super::shown(row)))
}
