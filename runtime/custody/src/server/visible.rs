//! Looks up the records of sessions that somebody may see, for an answer.

use std::path::Path;
use std::sync::Arc;

use custody_api_server::InvestigateError;
use custody_control::ControlError;
use custody_investigate::report::{Looked, RecordVerdicts, Records};
use custody_investigate::{Summarizer, Summary};
use custody_keeper::layout::StateDir;
use custody_model::SessionId;
use custody_record::tlog::TlogPolicy;
use custody_record::verify::{KeyChoice, VerifyOptions};
use custody_record::{Code, ReadError, Reader, Vault, Verifier, verify};
use custody_store::{Store, StoreError, Visibility};

use super::investigator::{chain, failed};
use crate::render::word;

/// The records that somebody may see.
pub(super) struct Visible<'a> {
    pub(super) state: &'a StateDir,
    pub(super) vault: &'a Arc<Vault>,
    pub(super) store: &'a dyn Store,
    pub(super) visibility: &'a Visibility,
    pub(super) witnesses: &'a Arc<TlogPolicy>,
}

/// An error of looking up; of its own because of where its conversions come from.
pub(super) struct LookUpError(pub(super) InvestigateError);

impl From<StoreError> for LookUpError {
    fn from(error: StoreError) -> Self {
        Self(failed(ControlError::from(error)))
    }
}

impl Records for Visible<'_> {
    type Error = LookUpError;

    async fn look_up(&self, session: SessionId) -> Result<Looked, LookUpError> {
        let row = self.store.session(session).await?;
        let seen = match &row {
            Some(row) => self.visibility.shows(row),
            // Of a record without a request nobody knows whose it is.
            None => self.visibility.everything,
        };
        let (state, vault) = (self.state.clone(), self.vault.clone());
        if !seen {
            return Ok(if row.is_some() { Looked::Hidden } else { Looked::Absent });
        }
        let witnesses = self.witnesses.clone();
        let looked = tokio::task::spawn_blocking(move || look(&state, vault, session, &witnesses));
        looked.await.map_err(|e| LookUpError(failed(e)))?.map_err(LookUpError)
    }
}

fn look(
    state: &StateDir,
    vault: Arc<Vault>,
    session: SessionId,
    witnesses: &TlogPolicy,
) -> Result<Looked, InvestigateError> {
    let record = state.session(session).record();
    if !record.exists() {
        return Ok(Looked::Absent);
    }
    let keys = state.keys();
    let key = Verifier::of_installation(&keys).map_err(failed)?;
    let options = VerifyOptions::new(KeyChoice::Installation(key)).with_vault(vault);
    let options = options.of_session(session);
    let options = options.with_installation_log(&state.log()).with_witnesses(witnesses);
    let report = verify(&record, &options);
    let verdicts = RecordVerdicts {
        integrity: word(&report.integrity),
        completeness: word(&report.completeness),
        witnesses: report.witnesses,
        erased: report
            .findings
            .into_iter()
            .find(|finding| finding.code == Code::ContentErased)
            .map(|finding| finding.what),
    };
    Ok(match summary(&record, session) {
        Ok(Some(summary)) => Looked::Found(Box::new(summary), verdicts),
        Ok(None) => Looked::Absent,
        Err(error) => Looked::Unreadable { reason: chain(&error), record: verdicts },
    })
}

fn summary(record: &Path, session: SessionId) -> Result<Option<Summary>, ReadError> {
    let mut summarizer: Option<Summarizer> = None;
    for event in Reader::open(record)?.events()? {
        let event = event?;
        summarizer.get_or_insert_with(|| Summarizer::new(session, event.policy)).add(&event);
    }
    Ok(summarizer.map(Summarizer::finish))
}
