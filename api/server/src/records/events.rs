//! Events of a record, in pages.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use custody_api_types::event::{CanonicalEvent, EventPage, EventQuery};
use custody_model::WorkspacePath;
use custody_record::{ReadError, Reader};
use custody_session::Orchestrator;
use custody_store::SessionRow;
use serde_json::Value;

use crate::answer::Json;
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Found;
use crate::limits::Limits;

pub(crate) async fn events(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<EventQuery>,
) -> Result<Json<EventPage>, ApiError> {
    let limit = limits.page(query.limit)?;
    let record = orchestrator.record(row.id);
    let is_over = row.state.is_final();
    let page = tokio::task::spawn_blocking(move || page(&record, &query, limit, is_over));
    Ok(Json(page.await??))
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
            return Ok(EventPage { items: Vec::new(), next: None, end: is_over });
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
            return Ok(EventPage { items, next: Some(seq), end: false });
        }
        items.push(CanonicalEvent::from_bytes(entry).map_err(ApiError::internal)?);
    }
    Ok(EventPage { items, next: None, end: reader.is_sealed() })
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
