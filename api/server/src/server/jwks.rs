//! The public keys of the local issuer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::identity::Identity;

pub(crate) async fn jwks(
    State(identity): State<Arc<Identity>>,
    State(orchestrator): State<Arc<Orchestrator>>,
) -> impl IntoResponse {
    let keys = identity.jwks(orchestrator.plane().now()).await;
    ([(CACHE_CONTROL, "public, max-age=60")], Json(keys))
}
