//! Refuses a token from now on.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::token::{RevokeQuery, Token};
use custody_session::Orchestrator;
use custody_store::TokenRow;

use crate::answer::Json;
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};

pub(crate) async fn revoke(
    admitted: Admitted,
    Found(row): Found<TokenRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Query(query): Query<RevokeQuery>,
) -> Result<Json<Token>, ApiError> {
    let reason = query.reason.unwrap_or_default();
    let row = orchestrator.plane().revoke_token(&admitted.author, &row.id, &reason).await?;
    Ok(Json(super::shown(row)))
}
