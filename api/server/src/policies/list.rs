//! Lists a project's policy versions.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::policy::Policy;
use custody_api_types::{Page, PageQuery};
use custody_session::Orchestrator;
use custody_store::ProjectRow;

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Found;
use crate::limits::Limits;

pub(crate) async fn list(
    Found(project): Found<ProjectRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Policy>>, ApiError> {
    let wanted = answer::page(&limits, &query)?;
    let page = orchestrator.plane().store().policies(&project.name, &wanted).await?;
    Ok(Json(answer::shown(page, |row| super::listed(row, &project))))
}
