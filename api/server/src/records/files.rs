//! Files that a session touched.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::file::SessionFile;
use custody_api_types::{Page, PageQuery};
use custody_session::Orchestrator;
use custody_store::{FileRow, SessionRow};

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Found;
use crate::limits::Limits;

pub(crate) async fn files(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SessionFile>>, ApiError> {
    let wanted = answer::page(&limits, &query)?;
    let page = orchestrator.plane().store().files(row.id, &wanted).await?;
    Ok(Json(answer::shown(page, shown)))
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
