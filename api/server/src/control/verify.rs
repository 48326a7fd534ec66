//! Verifies the control log.

use std::sync::Arc;

use axum::extract::State;
use custody_record::Verifier;
use custody_record::control::{ControlReport, verify_control};
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::error::ApiError;
use crate::logs::Transparency;

pub(crate) async fn verify(
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
) -> Result<Json<ControlReport>, ApiError> {
    let plane = orchestrator.plane();
    // What was appended just now is signed first, so that the verdict is about everything.
    plane.integrate().await?;
    let (log, keys) = (plane.log().clone(), orchestrator.state().keys());
    let verified = tokio::task::spawn_blocking(move || {
        let verifier = Verifier::of_installation(&keys).map_err(ApiError::internal)?;
        let report = verify_control(log.dir(), &verifier)?;
        Ok::<_, ApiError>(report.with_witnesses(log.dir(), &verifier, &transparency.witnesses))
    });
    Ok(Json(verified.await??))
}
