//! Verifies the record of a session.

use std::sync::Arc;

use axum::extract::State;
use custody_record::verify::{KeyChoice, Report, VerifyOptions};
use custody_record::{Verifier, verify as check};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use crate::answer::Json;
use crate::error::{ApiError, no_record};
use crate::gate::Found;
use crate::logs::Transparency;

pub(crate) async fn verify(
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(transparency): State<Transparency>,
) -> Result<Json<Report>, ApiError> {
    let (record, state) = (orchestrator.record(row.id), orchestrator.state().clone());
    let report = tokio::task::spawn_blocking(move || {
        if !record.exists() {
            return Err(no_record());
        }
        let keys = state.keys();
        let verifier = Verifier::of_installation(&keys).map_err(ApiError::internal)?;
        let options = VerifyOptions::new(KeyChoice::Installation(verifier));
        let options = options.with_installation_log(&state.log());
        Ok(check(&record, &options.with_witnesses(&transparency.witnesses)))
    });
    Ok(Json(report.await??))
}
