//! Lists sessions.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::Page;
use custody_api_types::session::{Session, SessionQuery, Sort};
use custody_session::Orchestrator;
use custody_store::{SessionFilter, SessionSort};

use super::place;
use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::{Admitted, visibility};
use crate::limits::Limits;
use crate::retention::with_retentions;

pub(crate) async fn list(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<SessionQuery>,
) -> Result<Json<Page<Session>>, ApiError> {
    let wanted = answer::wanted(&limits, query.limit, query.after.as_deref())?;
    let plain = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-');
    if query.prefix.as_ref().is_some_and(|text| text.len() > 36 || !text.bytes().all(plain)) {
        return Err(ApiError::invalid("prefix", "no session's id begins like this"));
    }
    let filter = SessionFilter {
        visibility: visibility(&admitted.caller),
        project: query.project,
        requester: query.requester,
        repository: query.repository,
        states: query.state.into_iter().map(|state| state.as_str().to_owned()).collect(),
        since: query.since.map(|moment| moment.0),
        until: query.until.map(|moment| moment.0),
        prefix: query.prefix,
        sort: match query.sort.unwrap_or_default() {
            Sort::NewestFirst => SessionSort::NewestFirst,
            Sort::OldestFirst => SessionSort::OldestFirst,
            Sort::LastChangedFirst => SessionSort::LastChangedFirst,
        },
    };
    let page = orchestrator.plane().store().sessions(&filter, &wanted).await?;
    let next = page.next.as_ref().map(ToString::to_string);
    let mut rows = Vec::with_capacity(page.items.len());
    for row in page.items {
        rows.push(orchestrator.noticed(row).await?);
    }
    let mut items = with_retentions(&orchestrator, rows, super::shown).await?;
    place::tell(&orchestrator, &mut items).await?;
    Ok(Json(Page { items, next }))
}
