//! Files that a session touched.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::file::{FilePage, SessionFile};
use custody_api_types::{Page, PageQuery};
use custody_session::Orchestrator;
use custody_store::{FileRow, SessionRow};

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Found;
use crate::limits::Limits;
use crate::logs::Transparency;

pub(crate) async fn files(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
    State(limits): State<Limits>,
    Query(query): Query<PageQuery>,
) -> Result<Json<FilePage>, ApiError> {
    let wanted = answer::page(&limits, &query)?;
    let page = orchestrator.plane().store().files(row.id, &wanted).await?;
    let Page { items, next } = answer::shown(page, shown);
    let witnesses = transparency.behind(&orchestrator, row.id).await?;
    Ok(Json(FilePage { items, next, witnesses }))
}

fn shown(row: FileRow) -> SessionFile {
    SessionFile {
        path: row.path,
        read: row.touch.read,
        written: row.touch.written,
        removed: row.touch.removed,
        denied: row.touch.denied,
        first_at: row.first_at,
        last_at: row.last_at,
        first_seq: row.first_seq,
        last_seq: row.last_seq,
        read_blob: row.read_blob,
        read_digest: row.read_digest,
        written_blob: row.written_blob,
        written_digest: row.written_digest,
    }
}
