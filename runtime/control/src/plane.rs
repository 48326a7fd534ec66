//! The control plane itself: append to the log, then let the store follow.

use std::sync::Arc;

use custody_model::{Clock, EventId, Timestamp};
use custody_record::Vault;
use custody_record::control::{ControlBody, ControlDraft, ControlEvent, ControlLog};
use custody_record::event::{BlobRef, Redaction};
use custody_store::{Change, Store, StoreError, UnitOfWork};

use crate::author::Author;
use crate::error::ControlError;
use crate::projection;
use crate::retention::KnownVersions;

/// Events of the log that are applied in one reading.
const BATCH: usize = 512;

/// What becomes an event.
struct Entry {
    body: ControlBody,
    blobs: Vec<BlobRef>,
    /// What was taken out of the body already.
    redactions: Vec<Redaction>,
}

impl Entry {
    fn of(body: ControlBody) -> Self {
        Self { body, blobs: Vec::new(), redactions: Vec::new() }
    }
}

/// The control plane of one installation, as one process has it. Several processes may have one at the same time.
pub struct ControlPlane {
    log: Arc<ControlLog>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// One task at a time lets the store follow the logs; the others find it done.
    following: tokio::sync::Mutex<()>,
    /// What policy versions say of retention.
    versions: KnownVersions,
}

impl ControlPlane {
    /// Over a log and a store.
    #[must_use]
    pub fn new(log: ControlLog, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let following = tokio::sync::Mutex::default();
        Self { log: Arc::new(log), store, clock, following, versions: KnownVersions::default() }
    }

    /// The store, to read.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store, to share.
    #[must_use]
    pub fn shared_store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    pub(crate) fn versions(&self) -> &KnownVersions {
        &self.versions
    }

    /// The log, to read.
    #[must_use]
    pub fn log(&self) -> &Arc<ControlLog> {
        &self.log
    }

    /// The keys of this installation's contents.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        self.log.vault()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Ten random bytes, as ids want them.
    ///
    /// # Errors
    /// [`ControlError::Random`].
    pub fn random(&self) -> Result<[u8; 10], ControlError> {
        let mut bytes = [0; 10];
        getrandom::fill(&mut bytes).map_err(ControlError::Random)?;
        Ok(bytes)
    }

    /// Appends an event and returns it once it is durable. The store does not follow yet: for calls, which change
    /// nothing in it.
    ///
    /// # Errors
    /// [`ControlError::Log`]: nothing that waits for the event may happen.
    pub async fn note(
        &self,
        author: &Author,
        body: ControlBody,
    ) -> Result<ControlEvent, ControlError> {
        let mut events = self.append(author, vec![Entry::of(body)]).await?;
        events.pop().ok_or_else(|| ControlError::Conflict("nothing was appended".to_owned()))
    }

    /// Appends events, one after the other, and returns once they are durable and the store shows them.
    ///
    /// # Errors
    /// [`ControlError`]. After one of the store the events are in the log, and the store follows later.
    pub async fn record(
        &self,
        author: &Author,
        bodies: Vec<ControlBody>,
    ) -> Result<Vec<ControlEvent>, ControlError> {
        let events = self.append(author, bodies.into_iter().map(Entry::of).collect()).await?;
        self.follow().await?;
        Ok(events)
    }

    /// As [`ControlPlane::record`], of one event that its author has redacted already, under the control plane's salt.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn record_redacted(
        &self,
        author: &Author,
        body: ControlBody,
        redactions: Vec<Redaction>,
    ) -> Result<Vec<ControlEvent>, ControlError> {
        let entry = Entry { redactions, ..Entry::of(body) };
        let events = self.append(author, vec![entry]).await?;
        self.follow().await?;
        Ok(events)
    }

    /// As [`ControlPlane::record`], with documents that events name.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn record_with(
        &self,
        author: &Author,
        bodies: Vec<(ControlBody, Vec<BlobRef>)>,
    ) -> Result<Vec<ControlEvent>, ControlError> {
        let with = |(body, blobs)| Entry { blobs, ..Entry::of(body) };
        let events = self.append(author, bodies.into_iter().map(with).collect()).await?;
        self.follow().await?;
        Ok(events)
    }

    async fn append(
        &self,
        author: &Author,
        entries: Vec<Entry>,
    ) -> Result<Vec<ControlEvent>, ControlError> {
        let time = self.now();
        let mut drafts = Vec::new();
        for Entry { body, blobs, redactions } in entries {
            drafts.push(ControlDraft {
                id: EventId::new(time, self.random()?),
                time,
                actor: author.actor.clone(),
                via: author.via.clone(),
                cause: author.cause,
                body,
                blobs,
                redactions,
            });
        }
        let log = self.log.clone();
        Ok(tokio::task::spawn_blocking(move || log.append(drafts)).await??)
    }

    /// Stores a document for an event to name.
    ///
    /// # Errors
    /// [`ControlError::Blob`].
    pub async fn document(
        &self,
        role: &'static str,
        media_type: &'static str,
        bytes: Vec<u8>,
    ) -> Result<BlobRef, ControlError> {
        let log = self.log.clone();
        let stored =
            tokio::task::spawn_blocking(move || log.blobs().put_bytes(role, media_type, &bytes));
        Ok(stored.await??)
    }

    /// Lets the store follow the log up to its end, whoever wrote it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn follow(&self) -> Result<(), ControlError> {
        let _turn = self.turn().await;
        loop {
            let from = self.store.applied().await?;
            let log = self.log.clone();
            let events = tokio::task::spawn_blocking(move || log.read(from, BATCH)).await??;
            if events.is_empty() {
                return Ok(());
            }
            match self.apply(from, &events).await {
                // Another process was quicker: go on after it.
                Ok(()) | Err(ControlError::Store(StoreError::Stale { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until no other task of this process changes the store from the logs.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.following.lock().await
    }

    /// Applies consecutive events. Those that change nothing are passed over together with the next that does.
    async fn apply(&self, from: u64, events: &[ControlEvent]) -> Result<(), ControlError> {
        let mut done = from;
        for (next, event) in (from + 1..).zip(events) {
            let changes = projection::changes(&*self.store, self.log.blobs(), event).await?;
            if !changes.is_empty() {
                self.save(done, next, changes).await?;
                done = next;
            }
        }
        let end = from + events.len() as u64;
        if done < end {
            self.save(done, end, Vec::new()).await?;
        }
        Ok(())
    }

    async fn save(&self, from: u64, to: u64, changes: Vec<Change>) -> Result<(), ControlError> {
        let unit = UnitOfWork { control: Some((from, to)), record: None, changes };
        Ok(self.store.save(unit).await?)
    }

    /// Puts what was appended into signed tiles.
    ///
    /// # Errors
    /// [`ControlError::Log`].
    pub async fn integrate(&self) -> Result<(), ControlError> {
        let log = self.log.clone();
        Ok(tokio::task::spawn_blocking(move || log.integrate()).await??)
    }
}
