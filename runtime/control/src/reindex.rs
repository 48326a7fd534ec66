//! Reindex: the store, made anew from the logs.

use std::path::PathBuf;

use custody_model::SessionId;
use custody_record::{Blobs, Tail};
use custody_store::{SessionRow, StoreError};

use crate::error::ControlError;
use crate::plane::ControlPlane;
use crate::record_index::RecordIndexer;

/// Events that are taken in one reading.
const BATCH: usize = 4096;

/// Tries to save what another process also saves.
const TRIES: usize = 8;

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reindexed {
    /// Events of the control log.
    pub control_events: u64,
    /// Sessions.
    pub sessions: u64,
    /// Events of their records.
    pub session_events: u64,
    /// Sessions whose record can't be read, and why: their rows show what the control log tells.
    pub unreadable: Vec<(SessionId, String)>,
}

impl ControlPlane {
    /// Empties the store and fills it from the logs. `records` says where the record of a session is; `progress` gets the
    /// number of sessions done.
    ///
    /// # Errors
    /// [`ControlError`]. The store is incomplete then: call it again.
    pub async fn reindex(
        &self,
        sessions: Vec<SessionId>,
        records: &(dyn Fn(SessionId) -> PathBuf + Sync),
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Reindexed, ControlError> {
        self.store().clear().await?;
        self.follow().await?;
        let mut done =
            Reindexed { control_events: self.store().applied().await?, ..Reindexed::default() };
        for session in sessions {
            match self.index(session, records(session)).await {
                Ok(Some(events)) => {
                    done.sessions += 1;
                    done.session_events += events;
                }
                Ok(None) => {}
                Err(error @ (ControlError::Record(_) | ControlError::Blob(_))) => {
                    done.unreadable.push((session, error.to_string()));
                }
                Err(error) => return Err(error),
            }
            progress(done.sessions);
        }
        Ok(done)
    }

    /// Indexes the whole of one session's record, as far as it goes; the number of its events. `None` if the control log
    /// knows no such session.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn index(
        &self,
        session: SessionId,
        record: PathBuf,
    ) -> Result<Option<u64>, ControlError> {
        let Some(row) = self.store().session(session).await? else { return Ok(None) };
        let repository = row.request.repository;
        let read = tokio::task::spawn_blocking(move || {
            let mut indexer = RecordIndexer::new(session, repository, Blobs::open(&record));
            let mut tail = Tail::new(&record, 0);
            loop {
                let fresh = tail.read(BATCH)?;
                for entry in &fresh.entries {
                    indexer.add(entry)?;
                }
                if fresh.end {
                    indexer.seal();
                }
                if fresh.end || fresh.entries.is_empty() {
                    return Ok::<_, ControlError>(indexer);
                }
            }
        });
        let mut indexer = read.await??;
        self.save_index(session, &mut indexer).await?;
        Ok(Some(indexer.events()))
    }

    /// Saves what an indexer has new; the session's row afterwards.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn save_index(
        &self,
        session: SessionId,
        indexer: &mut RecordIndexer,
    ) -> Result<Option<SessionRow>, ControlError> {
        // The unit carries the session's whole row: control events that this process applies wait, or would make it stale
        // as long as they keep coming.
        let _turn = self.turn().await;
        for _try in 0..TRIES {
            // Read before the row: whoever applies a control event in between makes the unit stale, and not the event lost.
            let applied = self.store().applied().await?;
            let Some(row) = self.store().session(session).await? else { return Ok(None) };
            let Some(mut unit) = indexer.unit(row.clone()) else { return Ok(Some(row)) };
            unit.control = Some((applied, applied));
            match self.store().save(unit).await {
                Ok(()) => return Ok(self.store().session(session).await?),
                Err(StoreError::Stale { .. }) => indexer.give_again(),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Conflict(format!("another process indexes session {session} as well")))
    }
}
