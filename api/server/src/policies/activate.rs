//! Lets a version decide about new requests.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::policy::Policy;
use custody_session::Orchestrator;
use custody_store::PolicyRow;

use crate::answer::Json;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn activate(
    admitted: Admitted,
    Found(row): Found<PolicyRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<Json<Policy>, ApiError> {
    let plane = orchestrator.plane();
    let row = plane.activate_policy(&admitted.author, &row.project, &row.digest).await?;
    let project = plane.project(&row.project).await?;
    Ok(Json(super::shown(row, &project)))
}
