//! Replaces what a user may do.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::user::User;
use custody_model::Grants;
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::{Admitted, Named};

pub(crate) async fn grant(
    admitted: Admitted,
    Named(user): Named,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(grants): Asked<Grants>,
) -> Result<Json<User>, ApiError> {
    let row = orchestrator.plane().grant(&admitted.author, &user, &grants).await?;
    Ok(Json(super::shown(row)))
}
