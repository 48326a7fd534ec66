//! Verifies the record of a session.

use std::sync::Arc;

use axum::extract::State;
use custody_model::state::session::SessionState;
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
    let vault = orchestrator.plane().vault().clone();
    let report = tokio::task::spawn_blocking(move || {
        let lost = lost_because(&row.state);
        if lost.is_none() && !record.exists() {
            return Err(no_record());
        }
        let keys = state.keys();
        let verifier = Verifier::of_installation(&keys).map_err(ApiError::internal)?;
        let options = VerifyOptions::new(KeyChoice::Installation(verifier)).with_vault(vault);
        let options = options.with_installation_log(&state.log());
        let options = options.of_session(row.id);
        let report = check(&record, &options.with_witnesses(&transparency.witnesses));
        Ok(match lost {
            Some(reason) => report.of_lost_session(reason),
            None => report,
        })
    });
    Ok(Json(report.await??))
}

/// Why a session is lost, if it is.
fn lost_because(state: &SessionState) -> Option<&str> {
    match state {
        SessionState::Lost { reason, .. } => Some(reason),
        SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Queued { .. }
        | SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. }
        | SessionState::Sealed { .. }
        | SessionState::Refused { .. }
        | SessionState::Failed { .. }
        | SessionState::Interrupted { .. } => None,
    }
}
