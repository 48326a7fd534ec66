//! What witnesses add to an answer about a session: from the head that is published, without verifying anything anew.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use custody_model::SessionId;
use custody_record::Verifier;
use custody_record::living::placed;
use custody_record::witness::{COSIGNED_FILE, WitnessAssurance};
use custody_session::Orchestrator;

use super::Transparency;
use crate::error::ApiError;

/// The published head that was looked at last, and what stands behind it.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<Option<(Vec<u8>, WitnessAssurance)>>);

impl Transparency {
    /// What witnesses vouch for of a session's record, up to its newest head in the installation log.
    pub(crate) async fn behind(
        &self,
        orchestrator: &Orchestrator,
        session: SessionId,
    ) -> Result<WitnessAssurance, ApiError> {
        if !self.witnesses.wants_witnesses() {
            return Ok(WitnessAssurance::none());
        }
        let (this, record) = (self.clone(), orchestrator.record(session));
        let (log, keys) = (orchestrator.state().log(), orchestrator.state().keys());
        tokio::task::spawn_blocking(move || this.look(&record, &log, &keys)).await?
    }

    fn look(&self, record: &Path, log: &Path, keys: &Path) -> Result<WitnessAssurance, ApiError> {
        let place = placed(record).map_err(ApiError::internal)?;
        let Some(place) = place else { return Ok(WitnessAssurance::not_yet()) };
        let head = read(log.join(COSIGNED_FILE)).map_err(ApiError::internal)?;
        let published = Arc::clone(&self.head);
        let mut known = published.0.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = match known.take() {
            Some((seen, whole)) if seen == head => whole,
            Some(_) | None => {
                let verifier = Verifier::of_installation(keys).map_err(ApiError::internal)?;
                let origin = verifier.log_origin();
                let policy = Some(&*self.witnesses);
                WitnessAssurance::of_published(log, &origin, &verifier, policy)
            }
        };
        *known = Some((head, whole.clone()));
        Ok(whole.as_far_as(place.position.index + 1))
    }
}

/// What is there; nothing where there is no file.
fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}
