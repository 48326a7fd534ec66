//! The journal: the one writer of a session's record.
//!
//! Whoever observes encodes its own event and copies it into a bounded buffer; one thread gives the events their chain,
//! writes them and fsyncs by group commit. While the session lives, the journal file is the record. The seal turns
//! it into tiles and removes it, so that every byte is written twice and no more. At every moment either the
//! journal or the sealed tiles are complete.

mod append;
mod begin;
mod error;
pub(crate) mod frame;
mod options;
mod place;
mod recover;
mod redacted;
mod state;
mod trouble;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use custody_model::{Digest, SessionId, UserName};
use serde::{Deserialize, Serialize};

use crate::blob::Blobs;
use crate::disk::Disk;
use crate::event::{Encoder, EventType, GapSource};
use crate::installation::InstallationLog;
use crate::redact::Redactor;
use crate::seal::{self, SealError, Sealed};
use crate::sink::{Sink as _, SinkError};
use crate::tlog::{Frontier, Keys};
use crate::vault::ContentKey;
pub use error::JournalError;
pub use frame::FrameError;
pub use options::{
    DEFAULT_BUFFER_BYTES, DEFAULT_COMMIT_INTERVAL, DEFAULT_LINGER, DEFAULT_PATIENCE, DEFAULT_RETRY,
    DEFAULT_WAKE_BYTES, JournalOptions, MAX_UNSYNCED_BYTES,
};
pub use recover::{Cut, Recovered, recover, recover_on};
use state::{Shared, State};
pub use trouble::{Condition, Step, Trouble};

/// Name of the journal's file in a record's directory.
pub(crate) const JOURNAL_FILE: &str = "journal";

/// What all events of a session share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalHeader {
    /// The session.
    pub session: SessionId,
    /// Digest of the policy version in force.
    pub policy: Digest,
    /// For whom it runs.
    pub on_behalf_of: Option<UserName>,
}

impl JournalHeader {
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// A log's size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
}

/// Where a journal goes on: after nothing, or after what a dead keeper left.
#[derive(Debug, Default)]
struct Resume {
    prev: Option<Digest>,
    frontier: Frontier,
    counts: BTreeMap<EventType, u64>,
    last: Option<EventType>,
}

/// A session's journal. Dropping it writes and fsyncs what was appended.
///
/// When a write or an fsync fails, whatever waits for the disk is refused at once. What is observed meanwhile stays in
/// memory, up to [`JournalOptions::buffer_bytes`], and the writer tries again: all that was not known to be durable is
/// written anew, because a second fsync says nothing of what the first one lost.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    header: JournalHeader,
    encoder: Encoder,
    options: JournalOptions,
    blobs: Blobs,
    redactor: Arc<Redactor>,
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Once all of the seal but the removal of the journal is done.
    sealed: Mutex<Option<Sealed>>,
    /// Holds the lock that says that the writer lives.
    _lock: File,
}

impl Journal {
    /// What all its events share.
    #[must_use]
    pub fn header(&self) -> &JournalHeader {
        &self.header
    }

    /// The record's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file layer that it is written through.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// With the key that its content is sealed with.
    #[must_use]
    pub fn with_key(mut self, key: ContentKey) -> Self {
        self.blobs = self.blobs.clone().with_key(Some(key));
        self
    }

    /// With a redactor that knows more than the published patterns, which every journal has.
    #[must_use]
    pub fn with_redactor(mut self, redactor: Arc<Redactor>) -> Self {
        self.blobs = self.blobs.clone().with_redactor(redactor.clone());
        self.redactor = redactor;
        self
    }

    /// The record's blobs.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Number of events appended so far, by type: what `session.closed` counts, but for itself.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let state = self.shared.lock();
        state.counts.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
    }

    /// Whether an event of this channel had no room, so that a gap stands in its place.
    #[must_use]
    pub fn has_gap(&self, source: GapSource) -> bool {
        self.shared.lock().lost.contains(&source)
    }

    /// Size and root of everything appended so far, once it is written to the kernel.
    ///
    /// # Errors
    /// [`SinkError::Unwritable`].
    pub fn head(&self) -> Result<Head, SinkError> {
        self.flush()?;
        let state = self.shared.lock();
        Ok(Head { size: state.frontier.size(), root: state.frontier.root() })
    }

    /// Seals the record: tiles, the leaf in the installation log, the attestation, the checkpoint. The last event
    /// must be `session.closed`; subjects and predicate come from the events. After a crash inside of it, recover and
    /// seal again.
    ///
    /// # Errors
    /// [`SealError`]; the journal is kept then.
    pub fn seal(&self, keys: &Keys, log: &InstallationLog) -> Result<Sealed, SealError> {
        if self.shared.lock().last != Some(EventType::SessionClosed) {
            return Err(SealError::NotClosed);
        }
        self.barrier()?;
        let head = self.head()?;
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match &*sealed {
            Some(done) => done.clone(),
            None => seal::seal(&*self.disk, &self.dir, &self.header, head, keys, log)?,
        };
        *sealed = Some(done.clone());
        seal::remove_journal(&*self.disk, &self.dir)?;
        Ok(done)
    }

    /// `watcher` hears, on the writer's own thread, when the journal can't be written and when it can again. It may
    /// append to the journal, but not wait for it. Only the first call counts.
    pub fn watch(&self, watcher: impl Fn(Condition) + Send + Sync + 'static) {
        let _twice = self.shared.watcher.set(Box::new(watcher));
    }

    /// Why it can't be written now; `None` if it can.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.shared.lock().trouble.clone()
    }

    /// Waits until it can be written.
    ///
    /// # Errors
    /// [`SinkError::Unwritable`] if nobody tries any more.
    pub fn wait_until_writable(&self) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        loop {
            if let Some(reason) = &state.failed {
                return Err(SinkError::Unwritable(reason.clone()));
            }
            if state.trouble.is_none() {
                return Ok(());
            }
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it can be written, but no longer than this; says whether it can.
    ///
    /// # Errors
    /// As [`Journal::wait_until_writable`].
    pub fn wait_until_writable_within(&self, limit: Duration) -> Result<bool, SinkError> {
        let state = self.shared.lock();
        let waits = |state: &mut State| state.failed.is_none() && state.trouble.is_some();
        let waited = self.shared.done.wait_timeout_while(state, limit, waits);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &state.failed {
            Some(reason) => Err(SinkError::Unwritable(reason.clone())),
            None => Ok(state.trouble.is_none()),
        }
    }

    /// Number of events that are durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.lock().durable
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic of the writer was reported by the panic hook; there is nothing left to do with it here.
            drop(writer.join());
        }
    }
}
