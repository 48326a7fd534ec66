//! Answers questions about repositories that are mirrored here: from the store, the mirrors and the records.

use std::sync::Arc;

use async_trait::async_trait;
use custody_api_server::{InvestigateError, Investigator};
use custody_api_types::investigation::Answer as Told;
use custody_control::ControlPlane;
use custody_investigate::attribute::{AttributeError, Sources, attribute};
use custody_investigate::blocking::Blocking;
use custody_investigate::history::{HistoryError, Repository};
use custody_investigate::neighbour::{Nearby, Reach};
use custody_investigate::question::Question;
use custody_investigate::report::{UnreadRecord, answer};
use custody_keeper::layout::StateDir;
use custody_model::state::session::SessionState;
use custody_record::tlog::TlogPolicy;
use custody_record::{ReadError, Reader};
use custody_store::{SessionRow, Visibility};
use custody_workspace::mirror::{Mirrors, RepositoryName, Source};

use super::visible::Visible;

/// The states of sessions of which there may be a record that the store does not know.
const LIVING: &[&str] = &["provisioning", "running", "paused", "stopping", "lost"];

/// Answers from what one installation has.
pub(super) struct Own {
    pub(super) state: StateDir,
    pub(super) plane: Arc<ControlPlane>,
    pub(super) witnesses: Arc<TlogPolicy>,
}

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn failed(cause: impl Into<Cause>) -> InvestigateError {
    InvestigateError::Failed(cause.into())
}

#[async_trait]
impl Investigator for Own {
    async fn investigate(
        &self,
        question: &str,
        repository: &str,
        visibility: &Visibility,
    ) -> Result<Told, InvestigateError> {
        let question: Question =
            question.parse().map_err(|e| InvestigateError::Question(Box::new(e)))?;
        let question = self.at_a_commit(question, repository).await?;
        let git = Repository::at(self.state.repositories().join(format!("{repository}.git")));
        let state = self.state.clone();
        let mirrors = move |name: &str| state.repositories().join(format!("{name}.git"));
        let store = self.plane.store();
        let sources =
            Sources { repository: &git, store, mirrors: &mirrors, blocking: &OtherThreads };
        let attributed = attribute(&question, sources).await.map_err(|error| match error {
            AttributeError::History(error @ HistoryError::Git { .. }) => {
                InvestigateError::NotFound(Box::new(error))
            }
            error => failed(error),
        })?;
        let nearby = Nearby { store, visible: visibility, reach: Reach::default() };
        let witnesses = &self.witnesses;
        let records =
            Visible { state: &self.state, vault: self.plane.vault(), store, visibility, witnesses };
        let mut answer = answer(&question, attributed, &records, nearby).await.map_err(|e| e.0)?;
        for record in self.unread(visibility).await? {
            if answer.unread.iter().all(|known| known.session != record.session) {
                answer.unread.push(record);
            }
        }
        // As text: a tree of values takes many times the room.
        let text = serde_json::to_vec(&answer).map_err(failed)?;
        drop(answer);
        serde_json::from_slice(&text).map_err(failed)
    }
}

impl Own {
    /// The same question of a commit that the mirror has. A mirror has no working tree: its lines are those of HEAD.
    async fn at_a_commit(
        &self,
        question: Question,
        repository: &str,
    ) -> Result<Question, InvestigateError> {
        let row = self.plane.store().repository(repository).await.map_err(failed)?;
        let source = row.map(|row| row.source);
        let rev = match &question {
            Question::Commit { rev } => rev.clone(),
            Question::Line { rev, .. } => rev.clone().unwrap_or_else(|| "HEAD".to_owned()),
        };
        let name: RepositoryName =
            repository.parse().map_err(|e| InvestigateError::Question(Box::new(e)))?;
        let mirrors = Mirrors::of(self.state.path());
        let resolved = tokio::task::spawn_blocking(move || {
            let mirror = mirrors.get(&name)?;
            // A whole commit id that is here means the same for ever; names move.
            let fixed = rev.len() >= 40 && rev.bytes().all(|b| b.is_ascii_hexdigit());
            if !(fixed && mirror.resolve(&rev).is_ok())
                && let Some(source) = source.and_then(|source| Source::parse(&source).ok())
            {
                // A source that can't be reached is no reason to keep quiet about what is here.
                if let Err(error) = mirror.update(&source, None) {
                    tracing::warn!(%error, repository = %name, "the history can't be fetched");
                }
            }
            mirror.resolve(&rev)
        });
        let resolved = resolved.await.map_err(failed)?;
        let commit = resolved.map_err(|e| InvestigateError::NotFound(Box::new(e)))?.commit;
        let rev = commit.to_string();
        Ok(match question {
            Question::Commit { .. } => Question::Commit { rev },
            Question::Line { path, line, .. } => Question::Line { path, line, rev: Some(rev) },
        })
    }

    /// Sessions that may have written anything, because the store does not know their records to the end and they
    /// can't be read.
    async fn unread(&self, visibility: &Visibility) -> Result<Vec<UnreadRecord>, InvestigateError> {
        let mut rows = self.plane.store().sessions_in(LIVING).await.map_err(failed)?;
        rows.retain(|row| visibility.shows(row));
        let state = self.state.clone();
        let looked = tokio::task::spawn_blocking(move || {
            rows.iter().filter_map(|row| unreadable(&state, row)).collect()
        });
        looked.await.map_err(failed)
    }
}

fn unreadable(state: &StateDir, row: &SessionRow) -> Option<UnreadRecord> {
    let session = row.id;
    let dir = state.session(session);
    if let SessionState::Lost { reason, .. } = &row.state {
        let reason = format!("it is lost: {reason}");
        return Some(UnreadRecord { session, reason });
    }
    match Reader::open(&dir.record()) {
        Ok(_) => None,
        // Its keeper has not begun the record yet: there are no outputs.
        Err(ReadError::NoRecord(_)) if dir.run().exists() => None,
        Err(error) => Some(UnreadRecord { session, reason: chain(&error) }),
    }
}

pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    custody_api_server::error::chain(error)
}

/// Runs git where it holds no call up.
struct OtherThreads;

impl Blocking for OtherThreads {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        tokio::task::spawn_blocking(work).await.map_err(|_| HistoryError::Ended)?
    }
}
