//! How two versions differ.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::ApiCode;
use custody_api_types::policy::{DiffQuery, PolicyDiff};
use custody_session::Orchestrator;
use custody_store::{PolicyRow, ProjectRow};
use similar::TextDiff;

use crate::answer::Json;
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Found;

pub(crate) async fn diff(
    Found(project): Found<ProjectRow>,
    Found(row): Found<PolicyRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<PolicyDiff>, ApiError> {
    let Some(from) = query.against.or(project.active_policy) else {
        let detail = format!("project {} has no active policy to compare with", project.name);
        return Err(ApiError::new(ApiCode::Conflict, detail).field("against"));
    };
    let before = orchestrator.plane().store().policy(&project.name, &from).await?;
    let before =
        before.ok_or_else(|| ApiError::not_found("policy version", &from).field("against"))?;
    let diff = TextDiff::from_lines(&before.document, &row.document);
    let (old, new) = (from.to_string(), row.digest.to_string());
    let diff = diff.unified_diff().header(&old, &new).to_string();
    Ok(Json(PolicyDiff { from, to: row.digest, diff }))
}
