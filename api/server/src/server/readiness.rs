//! Whether the server can do its work.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use custody_api_types::ApiCode;
use custody_api_types::server::{HealthStatus, Readiness};
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::error::ApiError;
use crate::lifecycle::Lifecycle;

pub(crate) async fn readiness(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(lifecycle): State<Lifecycle>,
) -> Result<Json<Readiness>, ApiError> {
    let unavailable = |detail| ApiError {
        retry_after: Some(Duration::from_secs(1)),
        ..ApiError::new(ApiCode::Unavailable, detail)
    };
    if lifecycle.is_draining() {
        return Err(unavailable("the server is draining"));
    }
    let store = orchestrator.plane().store();
    let applied = async {
        store.ping().await?;
        store.applied().await
    };
    match applied.await {
        Ok(applied) => Ok(Json(Readiness { status: HealthStatus::Ok, applied })),
        Err(error) => Err(unavailable("the store does not answer").caused_by(error)),
    }
}
