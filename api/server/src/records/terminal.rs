//! The recording of a session's terminal.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use custody_api_types::ApiCode;
use custody_api_types::endpoint::ASCIICAST;
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::blob;
use crate::error::ApiError;
use crate::gate::Found;

pub(crate) async fn terminal(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> Result<impl IntoResponse, ApiError> {
    let found = blob::last(&orchestrator, row.id, "terminal").await?;
    match found {
        Some(recording) => Ok(([(CONTENT_TYPE, ASCIICAST)], recording)),
        None if row.state.is_final() => {
            Err(ApiError::new(ApiCode::NotFound, "the session has no recording: nothing ran"))
        }
        None => {
            let detail = "there is a recording once the session is over";
            Err(ApiError::new(ApiCode::RecordIncomplete, detail))
        }
    }
}
