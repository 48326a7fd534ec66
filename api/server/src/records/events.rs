//! Events of a record, in pages.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use custody_api_types::event::{CanonicalEvent, EventPage, EventQuery};
use custody_model::WorkspacePath;
use custody_record::witness::WitnessAssurance;
use custody_record::{ReadError, Reader};
use custody_session::Orchestrator;
use custody_store::SessionRow;
use serde_json::Value;

use crate::answer::Json;
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Found;
use crate::limits::Limits;
use crate::logs::Transparency;

pub(crate) async fn events(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
    State(limits): State<Limits>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, ApiError> {
    let limit = limits.page(query.limit)?;
    let record = orchestrator.record(row.id);
    let is_over = row.state.is_final();
    let page = tokio::task::spawn_blocking(move || page(&record, &query, limit, is_over));
    let page = page.await??;
    // After the page: what it shows may have been published meanwhile.
    let witnesses = transparency.behind(&orchestrator, row.id).await?;
    Ok(Json(EventPage { witnesses, ..page }))
}

/// Reads until the page is full or the record is read as far as it goes.
fn page(
    record: &Path,
    query: &EventQuery,
    limit: usize,
    is_over: bool,
) -> Result<EventPage, ApiError> {
    let reader = match Reader::open(record) {
        Ok(reader) => reader,
        // Nothing happened yet; or it never will.
        Err(ReadError::NoRecord(_)) => {
            return Ok(whole(Vec::new(), None, is_over));
        }
        Err(error) => return Err(error.into()),
    };
    let mut items = Vec::new();
    let from = query.from.unwrap_or(0);
    for (seq, entry) in (from..).zip(reader.entries_from(from)?) {
        let entry = entry?;
        if !wants(query, &entry) {
            continue;
        }
        if items.len() == limit {
            return Ok(whole(items, Some(seq), false));
        }
        items.push(CanonicalEvent::from_bytes(entry).map_err(ApiError::internal)?);
    }
    Ok(whole(items, None, reader.is_sealed()))
}

fn whole(items: Vec<CanonicalEvent>, next: Option<u64>, end: bool) -> EventPage {
    EventPage { items, next, end, witnesses: WitnessAssurance::none() }
}

/// Whether an event is of one of the types and tells of the path. Only what is looked for is parsed.
fn wants(query: &EventQuery, entry: &[u8]) -> bool {
    if query.types.is_empty() && query.path.is_none() {
        return true;
    }
    // What can't be read is what `verify` explains; it is nobody's type and no path's.
    let Ok(event) = serde_json::from_slice::<Value>(entry) else { return false };
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    let of_type = |wanted: &String| {
        kind == wanted
            || kind.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let names = |path: &WorkspacePath| {
        ["path", "from", "to", "target"].iter().any(|member| {
            let named = event.get("data").and_then(|data| data.get(member)).and_then(Value::as_str);
            named.and_then(|n| n.parse::<WorkspacePath>().ok()).is_some_and(|n| n.starts_with(path))
        })
    };
    (query.types.is_empty() || query.types.iter().any(of_type))
        && query.path.as_ref().is_none_or(names)
}
