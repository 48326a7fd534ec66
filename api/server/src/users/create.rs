//! Makes a user.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::user::{CreateUser, User};
use custody_session::Orchestrator;

use crate::answer::Made;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::Admitted;

pub(crate) async fn create(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<CreateUser>,
) -> Result<Made<User>, ApiError> {
    let plane = orchestrator.plane();
    let row = plane.create_user(&admitted.author, &asked.name, &asked.grants).await?;
    Ok(Made(super::shown(row)))
}
