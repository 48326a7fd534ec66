//! Makes a project.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::project::{CreateProject, Project};
use custody_session::Orchestrator;

use crate::answer::Made;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::Admitted;

pub(crate) async fn create(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<CreateProject>,
) -> Result<Made<Project>, ApiError> {
    let plane = orchestrator.plane();
    let row = plane.create_project(&admitted.author, &asked.name, &asked.description).await?;
    Ok(Made(super::shown(row)))
}
