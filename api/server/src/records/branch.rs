//! A session's branch, for those who can't fetch from the mirror.

use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use custody_api_types::ApiCode;
use custody_api_types::endpoint::BUNDLE;
use custody_api_types::output::BranchQuery;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::sending::Sending;
use crate::asked::Query;
use crate::error::{ApiError, chain};
use crate::gate::Found;

/// Bytes that are handed over at once.
const CHUNK: usize = 64 << 10;

pub(crate) async fn branch(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Query(query): Query<BranchQuery>,
) -> Result<Response, ApiError> {
    if !row.state.is_final() {
        let detail = "there is a branch once the session is over, if it changed something";
        return Err(ApiError::new(ApiCode::RecordIncomplete, detail));
    }
    let session = row.id;
    let submodule = match query.submodule {
        Some(path) => {
            let commits = orchestrator.plane().store().commits(session).await?;
            let seq = commits.last().map(|last| last.seq);
            let last = super::outputs::last_commit(&orchestrator, session, seq).await?;
            let mut made = last.and_then(|last| last.submodules).into_iter().flatten();
            let found = made.find(|one| one.path == path);
            Some(found.ok_or_else(|| {
                let detail = format!("the session made nothing in a submodule {path}");
                ApiError::new(ApiCode::NotFound, detail)
            })?)
        }
        None => None,
    };
    let (sending, body) = Sending::new();
    tokio::task::spawn_blocking(move || {
        let mut out = BufWriter::with_capacity(CHUNK, sending.clone());
        let (repository, base) = (&row.request.repository, &row.request.base_commit);
        let made = match &submodule {
            Some(submodule) => orchestrator.submodule_bundle(repository, submodule, &mut out),
            None => orchestrator.bundle(repository, session, base, &mut out),
        };
        let sent = made.map_err(io::Error::other).and_then(|()| out.flush());
        if let Err(error) = sent {
            tracing::warn!(%session, error = chain(&error), "a branch could not be handed out whole");
            sending.broken(error);
        }
    });
    let name = format!("attachment; filename=\"custody-{session}.bundle\"");
    let headers = [(CONTENT_TYPE, BUNDLE.to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}
