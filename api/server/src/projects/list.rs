//! Lists the projects in which the caller has a role.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::project::Project;
use custody_api_types::{Page, PageQuery};
use custody_model::Role;
use custody_session::Orchestrator;

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Admitted;
use crate::limits::Limits;

pub(crate) async fn list(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Project>>, ApiError> {
    let store = orchestrator.plane().store();
    let wanted = answer::page(&limits, &query)?;
    if admitted.has_any(&Role::ALL, None) {
        return Ok(Json(answer::shown(store.projects(&wanted).await?, super::shown)));
    }
    // The others' cursors would tell names that the caller may not see.
    let mut rows = Vec::new();
    for (name, roles) in &admitted.caller.grants.projects {
        if !roles.is_empty() {
            rows.extend(store.project(name).await?);
        }
    }
    let names = rows.iter().map(|row| row.name.to_string());
    let page = answer::of_names(names, &wanted, |name| name);
    let shown = |name: &String| rows.iter().find(|row| row.name.as_str() == name).cloned();
    let items = page.items.iter().filter_map(shown).map(super::shown).collect();
    Ok(Json(Page { items, next: page.next }))
}
