//! What a session changed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use custody_api_types::ApiCode;
use custody_api_types::endpoint::DIFF;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::blob;
use crate::error::ApiError;
use crate::gate::Found;

pub(crate) async fn diff(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<impl IntoResponse, ApiError> {
    let found = blob::last(&orchestrator, row.id, "diff").await?;
    if found.is_none() && !row.state.is_final() {
        let detail = "there is a diff once the session is over";
        return Err(ApiError::new(ApiCode::RecordIncomplete, detail));
    }
    Ok(([(CONTENT_TYPE, DIFF)], found.unwrap_or_default()))
}
