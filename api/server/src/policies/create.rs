//! Keeps a policy version.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::policy::{CreatePolicy, Policy};
use custody_session::Orchestrator;
use custody_store::ProjectRow;

use crate::answer::Made;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn create(
    admitted: Admitted,
    Found(project): Found<ProjectRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<CreatePolicy>,
) -> Result<Made<Policy>, ApiError> {
    let version = super::parse(&asked.document, "document")?;
    let plane = orchestrator.plane();
    let row = plane.create_policy(&admitted.author, &project.name, &version).await?;
    Ok(Made(super::shown(row, &project)))
}
