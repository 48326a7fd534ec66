//! Lists what will be erased when.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::Page;
use custody_api_types::retention::RetentionQuery;
use custody_api_types::session::Session;
use custody_session::Orchestrator;
use custody_store::KeptFilter;

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::limits::Limits;
use crate::sessions;

pub(crate) async fn list(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<RetentionQuery>,
) -> Result<Json<Page<Session>>, ApiError> {
    let wanted = answer::wanted(&limits, query.limit, query.after.as_deref())?;
    if query.held && (query.due || query.project.is_some()) {
        let detail =
            "it is asked for alone: what is held is not due, and it is listed for all projects";
        return Err(ApiError::invalid("held", detail));
    }
    let plane = orchestrator.plane();
    let (rows, next) = if query.held {
        let page = plane.store().held(&wanted).await?;
        (page.items, page.next)
    } else {
        let ends_by = query.due.then(|| plane.now());
        let filter = KeptFilter { project: query.project, ends_by, free: query.due };
        let page = plane.store().kept(&filter, &wanted).await?;
        (page.items.into_iter().map(|row| row.session).collect(), page.next)
    };
    let items = super::with_retentions(&orchestrator, rows, sessions::shown).await?;
    Ok(Json(Page { items, next: next.as_ref().map(ToString::to_string) }))
}
