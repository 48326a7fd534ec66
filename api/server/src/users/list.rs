//! Lists users.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::user::User;
use custody_api_types::{Page, PageQuery};
use custody_session::Orchestrator;

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::limits::Limits;

pub(crate) async fn list(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<User>>, ApiError> {
    let wanted = answer::page(&limits, &query)?;
    let page = orchestrator.plane().store().users(&wanted).await?;
    Ok(Json(answer::shown(page, super::shown)))
}
