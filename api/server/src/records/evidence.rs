//! Hands out evidence: one file with what is disclosed of a record, its proofs and keys, for checking elsewhere.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use custody_api_types::ApiCode;
use custody_api_types::evidence::EvidenceQuery;
use custody_policy::PolicyVersion;
use custody_record::control::{ControlBody, EvidenceExported, ExportedPack};
use custody_record::evidence::{ExportError, Pack, Selection, Source};
use custody_record::{KeyHistory, Sequences};
use custody_session::Orchestrator;
use custody_store::SessionRow;

use super::download::handed_out;
use crate::asked::Query;
use crate::error::{ApiError, no_record};
use crate::gate::{Admitted, Found};

pub(crate) async fn evidence(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Query(query): Query<EvidenceQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let session = row.id;
    let events = query.events.as_deref().map(str::parse::<Sequences>).transpose();
    let selection = Selection {
        events: events.map_err(|error| ApiError::invalid("events", error.to_string()))?,
        withhold_content: query.withhold_content.unwrap_or(false),
    };
    let made = {
        let orchestrator = orchestrator.clone();
        tokio::task::spawn_blocking(move || make(&orchestrator, &row, selection))
    };
    let (pack, exported) = made.await??;
    // On record before anything leaves: which bytes, and how much of the record.
    let body = ControlBody::EvidenceExported(EvidenceExported { session, pack: Some(exported) });
    orchestrator.plane().record(&admitted.author, vec![body]).await?;
    Ok(handed_out(session, &format!("custody-{session}-evidence.tar"), move |out| {
        pack.write(out).map(drop).map_err(io::Error::other)
    }))
}

fn make(
    orchestrator: &Orchestrator,
    row: &SessionRow,
    selection: Selection,
) -> Result<(Pack, ExportedPack), ApiError> {
    let record = orchestrator.record(row.id);
    if !record.exists() {
        return Err(no_record());
    }
    let state = orchestrator.state();
    let keys = KeyHistory::read(&state.keys()).map_err(ApiError::internal)?;
    let policy = policy(state.session(row.id).policy(), row)?;
    let log = state.log();
    let source = Source { record: &record, log: &log, keys: &keys, policy: policy.as_deref() };
    let pack = Pack::of(source, selection)?;
    // Nothing of it is kept on the disk: it is made twice, once for its digest.
    let (digest, size) = pack.write(io::sink())?;
    let manifest = pack.manifest();
    let exported = ExportedPack {
        digest,
        size,
        events: manifest.events,
        withheld_events: manifest.withheld_events,
        withheld_blobs: manifest.withheld_blobs.len() as u64,
    };
    Ok((pack, exported))
}

/// The policy document in the form that its digest names, if the session still has it.
fn policy(path: PathBuf, row: &SessionRow) -> Result<Option<Vec<u8>>, ApiError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let policy = PolicyVersion::parse(&text).ok().filter(|policy| policy.digest() == row.policy);
    Ok(policy.map(|policy| policy.canonical_json().as_bytes().to_vec()))
}

impl From<ExportError> for ApiError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::NotSealed => {
                Self::new(ApiCode::Conflict, ExportError::NotSealed.to_string())
            }
            ExportError::Read(error) => error.into(),
            ExportError::Blob(error) => error.into(),
            ExportError::File { .. } | ExportError::Write(_) => Self::of(ApiCode::Io, error),
            ExportError::NoPosition
            | ExportError::Event { .. }
            | ExportError::Seal(_)
            | ExportError::Statement(_)
            | ExportError::Checkpoint(_)
            | ExportError::Tile(_)
            | ExportError::Encode(_) => Self::of(ApiCode::VerificationFailed, error),
        }
    }
}
