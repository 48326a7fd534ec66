//! Lists the repositories of the projects in which the caller has a role.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::Page;
use custody_api_types::repository::{Repository, RepositoryQuery};
use custody_model::{ProjectName, Role};
use custody_session::Orchestrator;
use custody_store::{MAX_PAGE, PageRequest, RepositoryRow, Store};

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Admitted;
use crate::limits::Limits;

pub(crate) async fn list(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<RepositoryQuery>,
) -> Result<Json<Page<Repository>>, ApiError> {
    let store = orchestrator.plane().store();
    let wanted = answer::wanted(&limits, query.limit, query.after.as_deref())?;
    if let Some(project) = &query.project {
        admitted.wants(&Role::ALL, project)?;
    }
    if query.project.is_some() || admitted.has_any(&Role::ALL, None) {
        let page = store.repositories(query.project.as_ref(), &wanted).await?;
        return Ok(Json(answer::shown(page, super::shown)));
    }
    // The others' cursors would tell names that the caller may not see.
    let mut rows = Vec::new();
    for (project, roles) in &admitted.caller.grants.projects {
        if !roles.is_empty() {
            of_project(store, project, &mut rows).await?;
        }
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let page = answer::of_names(rows.iter().map(|row| row.name.clone()), &wanted, |name| name);
    let shown = |name: &String| rows.iter().find(|row| row.name == *name).cloned();
    let items = page.items.iter().filter_map(shown).map(super::shown).collect();
    Ok(Json(Page { items, next: page.next }))
}

async fn of_project(
    store: &dyn Store,
    project: &ProjectName,
    rows: &mut Vec<RepositoryRow>,
) -> Result<(), ApiError> {
    let mut wanted = PageRequest::first(MAX_PAGE);
    loop {
        let page = store.repositories(Some(project), &wanted).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => wanted.after = Some(next),
            None => return Ok(()),
        }
    }
}
