//! Follow: one task for each living session, which reads its record as it grows, keeps the store up to date, and closes
//! the record if the keeper dies.

use std::process::Child;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use custody_control::{Author, RecordIndexer};
use custody_model::SessionId;
use custody_model::error::chain;
use custody_record::control::{ControlBody, SessionReason};
use custody_record::{Blobs, JournalError, Tail};
use custody_store::SessionRow;
use tokio::sync::{Notify, watch};

use crate::error::SessionError;
use crate::lost::{Beginning, beginning, record_gone};
use crate::orchestrator::{Followed, Orchestrator};

/// Events that are read at once.
const BATCH: usize = 4096;

/// The shortest wait between two looks at a record.
const SHORTEST: Duration = Duration::from_millis(20);

/// Waits of this length in a row without anything new, before the keeper is looked for.
const LOOK_FOR_KEEPER: Duration = Duration::from_millis(100);

/// How long the store may take to hear of a record that was just closed.
const INDEX_TIMEOUT: Duration = Duration::from_secs(60);

/// What became of a record whose keeper was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is sealed now.
    Sealed,
    /// It stays open: the keeper lives, or the next look tries again.
    Open,
    /// It stays open, or is gone, and the session is over.
    GivenUp,
}

struct Following {
    session: SessionId,
    indexer: RecordIndexer,
    tail: Tail,
    size: watch::Sender<u64>,
    nudge: Arc<Notify>,
    child: Option<Child>,
    end: bool,
}

impl Orchestrator {
    /// Begins to look after a session that has, or is about to have, a keeper. Again it does nothing.
    pub(crate) fn follow(self: &Arc<Self>, row: &SessionRow, child: Option<Child>) {
        let session = row.id;
        let record = self.record(session);
        let (size, seen) = watch::channel(0);
        let nudge = Arc::new(Notify::new());
        {
            let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            if followed.contains_key(&session) {
                return;
            }
            followed.insert(session, Followed { size: seen, nudge: nudge.clone() });
        }
        let repository = row.request.repository.clone();
        let following = Following {
            session,
            indexer: RecordIndexer::new(session, repository, Blobs::open(&record)),
            tail: Tail::new(&record, 0),
            size,
            nudge,
            child,
            end: false,
        };
        let this = self.clone();
        self.tasks.spawn(async move { this.follow_to_the_end(following).await });
    }

    async fn follow_to_the_end(self: Arc<Self>, mut following: Following) {
        let session = following.session;
        let mut pause = SHORTEST;
        while !self.ending.is_cancelled() && !following.end {
            let (looked, grown) = match self.look(following).await {
                Ok(looked) => looked,
                Err(error) => {
                    // Whoever adopts it next, this instance for one, begins again.
                    tracing::error!(%session, error = %chain(&error), "the session can't be followed");
                    if let Err(error) = self.close_if_dead(session).await {
                        tracing::error!(%session, error = %chain(&error), "the record of a dead keeper can't be closed");
                    }
                    self.unfollow(session);
                    return;
                }
            };
            following = looked;
            pause = if grown { SHORTEST } else { (pause * 2).min(self.options().poll) };
            if following.end || grown {
                continue;
            }
            if pause >= LOOK_FOR_KEEPER {
                match self.close_if_dead(session).await {
                    Ok(Closed::GivenUp) => break,
                    Ok(Closed::Sealed | Closed::Open) => {}
                    Err(error) => {
                        tracing::error!(%session, error = %chain(&error), "the record of a dead keeper can't be closed");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = following.nudge.notified() => pause = SHORTEST,
                () = self.ending.cancelled() => {}
            }
        }
        if !self.ending.is_cancelled() || following.end {
            let child = following.child.take();
            let reaped = tokio::task::spawn_blocking(move || child.map(|mut child| child.wait()));
            if let Ok(Some(Err(error))) = reaped.await {
                tracing::warn!(%session, error = %chain(&error), "the keeper can't be waited for");
            }
            self.release(session).await;
        }
        self.unfollow(session);
        drop(following);
        self.dispatch.notify_one();
    }

    fn unfollow(&self, session: SessionId) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    /// Reads what is new, and lets store and watchers know.
    async fn look(&self, mut following: Following) -> Result<(Following, bool), SessionError> {
        let read = tokio::task::spawn_blocking(move || {
            let fresh = following.tail.read(BATCH).map_err(custody_control::ControlError::from)?;
            for entry in &fresh.entries {
                following.indexer.add(entry)?;
            }
            if fresh.end {
                following.indexer.seal();
                following.end = true;
            }
            Ok::<_, SessionError>((following, !fresh.entries.is_empty()))
        });
        let (mut following, grown) = read.await??;
        if grown || following.end {
            self.plane().save_index(following.session, &mut following.indexer).await?;
            let _nobody_watches = following.size.send(following.indexer.events());
        }
        Ok((following, grown))
    }

    /// Closes the record of a session whose keeper is gone, if it is.
    pub(crate) async fn close_if_dead(
        self: &Arc<Self>,
        session: SessionId,
    ) -> Result<Closed, SessionError> {
        let (state, clock) = (self.state().clone(), self.plane().clock().clone());
        let vault = self.plane().vault().clone();
        let driver = self.driver().clone();
        let closed = tokio::task::spawn_blocking(move || {
            let reconciled = crate::reconcile::one(&state, session, &vault, &clock)?;
            if reconciled.is_some() {
                driver.remove_leftovers(&[session]).map_err(std::io::Error::other)?;
            }
            Ok::<_, std::io::Error>(reconciled)
        });
        let closed = closed.await?.map_err(SessionError::file("looking after a dead keeper"))?;
        let Some(reconciled) = closed else {
            let state = self.state().clone();
            let looked = tokio::task::spawn_blocking(move || beginning(&state, session)).await??;
            return match looked {
                // Nobody follows what nobody began: it was there a moment ago.
                Beginning::Begun | Beginning::Never => Ok(Closed::Open),
                Beginning::Lost(reason) => {
                    self.lose(session, reason).await.map(|()| Closed::GivenUp)
                }
            };
        };
        let error = match reconciled.closed {
            Ok(()) => {
                tracing::warn!(%session, "the keeper died; its record is closed now");
                return Ok(Closed::Sealed);
            }
            Err(error) => error,
        };
        if let Some(gone @ (JournalError::Gone(_) | JournalError::Foreign { .. })) =
            error.downcast_ref::<JournalError>()
        {
            self.lose(session, record_gone(&gone.to_string())).await?;
            return Ok(Closed::GivenUp);
        }
        tracing::error!(%session, error = %chain(&*error), "a dead keeper's record stays open");
        match crate::reconcile::unloggable(&*error) {
            Some(why) => self.give_up(session, why).await.map(|()| Closed::GivenUp),
            None => Ok(Closed::Open),
        }
    }

    /// Closes the records of dead keepers among the sessions that this instance looks after, and returns when the store says how
    /// they ended; `closing` hears of each before. For a process that answers once and ends: it would never come to look for them.
    ///
    /// # Errors
    /// If a session's directory can't be looked at, or that it is lost can't be put on record.
    pub async fn close_dead(
        self: &Arc<Self>,
        mut closing: impl FnMut(SessionId),
    ) -> Result<(), SessionError> {
        let followed: Vec<SessionId> = {
            let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            followed.keys().copied().collect()
        };
        for session in followed {
            let dir = self.state().session(session);
            let dead = tokio::task::spawn_blocking(move || crate::reconcile::keeper_is_dead(&dir));
            if !dead.await?.map_err(SessionError::file("looking for a dead keeper"))? {
                continue;
            }
            closing(session);
            match self.close_if_dead(session).await? {
                Closed::Sealed | Closed::GivenUp => self.settle(session, INDEX_TIMEOUT).await,
                // It stays open for a reason that is in the log, or somebody else closes it just now.
                Closed::Open => {}
            }
        }
        Ok(())
    }

    /// Puts on record that a session is over whose record can't be sealed as things are: it is tried again at the next start.
    async fn give_up(
        self: &Arc<Self>,
        session: SessionId,
        why: String,
    ) -> Result<(), SessionError> {
        if self.row(session).await?.state.is_final() {
            return Ok(());
        }
        let reason = format!("its record is kept and can't be sealed: {why}");
        let body = ControlBody::SessionAbandoned(SessionReason { session, reason });
        self.plane().record(&Author::server(), vec![body]).await?;
        Ok(())
    }
}
