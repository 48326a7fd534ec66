//! The journal: the one writer of a session's record.
//!
//! Whoever observes encodes its own event and copies it into a bounded buffer; one thread gives the events their chain,
//! writes them and fsyncs by group commit. While the session lives, the journal file is the record. The seal turns
//! it into tiles and removes it, so that every byte is written twice and no more. At every moment either the
//! journal or the sealed tiles are complete.

pub(crate) mod frame;
mod place;
mod recover;
mod redacted;
mod trouble;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use custody_model::{Digest, EventId, SessionId, UserName};
use serde::{Deserialize, Serialize};

use crate::blob::{BlobError, Blobs};
use crate::canonical;
use crate::disk::{self, Disk};
use crate::durable;
use crate::event::{Draft, Encoder, EventError, EventType};
use crate::installation::InstallationLog;
use crate::redact::Redactor;
use crate::seal::{self, SealError, Sealed};
use crate::sink::{Sink, SinkError};
use crate::tlog::{Frontier, Keys};
use crate::vault::ContentKey;
pub use frame::FrameError;
pub use recover::{Cut, Recovered, recover, recover_on};
pub use trouble::{Condition, Step, Trouble};

/// Name of the journal's file in a record's directory.
pub(crate) const JOURNAL_FILE: &str = "journal";

/// Most bytes of appended events that wait for the writer; whoever appends more waits.
pub const DEFAULT_BUFFER_BYTES: usize = 16 << 20;

/// The writer is woken early when this many bytes wait.
pub const DEFAULT_WAKE_BYTES: usize = 1 << 20;

/// Longest time that an appended event waits for the writer.
pub const DEFAULT_LINGER: Duration = Duration::from_millis(2);

/// Longest time from an append to the fsync that makes it durable, if nobody waits for it.
pub const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// Time between two attempts to go on with a journal that can't be written.
pub const DEFAULT_RETRY: Duration = Duration::from_millis(250);

/// How long an append waits for room in a journal that can't be written, before it is refused.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes of events that are written and not durable: they are kept in memory, to be written again if the fsync
/// fails. Whoever writes more than that at once waits for the fsync.
pub const MAX_UNSYNCED_BYTES: usize = 32 << 20;

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

/// How a journal buffers and commits.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// [`DEFAULT_BUFFER_BYTES`].
    pub buffer_bytes: usize,
    /// [`DEFAULT_WAKE_BYTES`].
    pub wake_bytes: usize,
    /// [`DEFAULT_LINGER`].
    pub linger: Duration,
    /// [`DEFAULT_COMMIT_INTERVAL`].
    pub commit_interval: Duration,
    /// [`DEFAULT_RETRY`].
    pub retry: Duration,
    /// [`DEFAULT_PATIENCE`].
    pub patience: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            buffer_bytes: DEFAULT_BUFFER_BYTES,
            wake_bytes: DEFAULT_WAKE_BYTES,
            linger: DEFAULT_LINGER,
            commit_interval: DEFAULT_COMMIT_INTERVAL,
            retry: DEFAULT_RETRY,
            patience: DEFAULT_PATIENCE,
        }
    }
}

/// Why a journal can't be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or directory.
    #[error("the journal in {path} can't be used")]
    Io {
        /// The record's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a record already.
    #[error("{0} holds a record already")]
    Exists(PathBuf),
    /// Another process, the session's keeper, is writing it.
    #[error("another process writes the record in {0}: the session lives")]
    InUse(PathBuf),
    /// It is sealed: nothing is left to do.
    #[error("the record in {0} is sealed")]
    Sealed(PathBuf),
    /// No journal, or one whose first bytes never reached the disk: nothing was recorded.
    #[error("{0} holds no journal")]
    Empty(PathBuf),
    /// An event before the end of the journal can't be the one that was written.
    #[error("event {seq} of the journal in {path} is not well formed")]
    Event {
        /// The record's directory.
        path: PathBuf,
        /// Which.
        seq: u64,
        /// Why.
        #[source]
        source: EventError,
    },
    /// What was cut off could not be kept.
    #[error("what was cut off the journal can't be kept")]
    Cut(#[from] BlobError),
    /// The journal's bytes.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// A log's size and root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of events.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
}

/// What waits for the writer: both parts of each event, one after the other.
#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Per event: where its gap for `prev` and `seq` is, and where it ends.
    events: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
struct State {
    queue: Queue,
    /// Events appended, written to the kernel, durable on disk.
    appended: u64,
    written: u64,
    durable: u64,
    /// Somebody waits until so many are written, or durable.
    flush_to: u64,
    sync_to: u64,
    counts: BTreeMap<EventType, u64>,
    last: Option<EventType>,
    /// Of what is written.
    frontier: Frontier,
    /// It can't be written now.
    trouble: Option<Trouble>,
    /// The writer is gone, and there were events that it could not write.
    failed: Option<String>,
    stop: bool,
}

impl State {
    /// Why nothing that waits for the disk can be had.
    fn refusal(&self) -> Option<SinkError> {
        let text = self.failed.clone().or_else(|| self.trouble.as_ref().map(Trouble::to_string));
        text.map(SinkError::Unwritable)
    }
}

/// Hears when the journal can't be written, and when it can again.
type Watcher = Box<dyn Fn(Condition) + Send + Sync>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    watcher: OnceLock<Watcher>,
    /// The writer waits here.
    work: Condvar,
    /// Everybody else does.
    done: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Shared {
    fn tell(&self, condition: Condition) {
        if let Some(watcher) = self.watcher.get() {
            watcher(condition);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

/// Takes the lock that the living writer of a record holds.
fn lock(file: &File, dir: &Path) -> Result<(), JournalError> {
    // SAFETY: flock takes any open descriptor, and this one is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    let source = io::Error::last_os_error();
    Err(match source.kind() {
        io::ErrorKind::WouldBlock => JournalError::InUse(dir.to_owned()),
        _ => JournalError::Io { path: dir.to_owned(), source },
    })
}

impl Journal {
    /// Begins a record in `dir`, which is made if it is absent.
    ///
    /// # Errors
    /// [`JournalError::Exists`] if there is a record already, [`JournalError::Io`].
    pub fn create(
        dir: &Path,
        header: JournalHeader,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        Self::create_on(disk::real(), dir, header, options)
    }

    /// As [`Journal::create`], written through a file layer of the caller's.
    ///
    /// # Errors
    /// As [`Journal::create`].
    pub fn create_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: JournalHeader,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: dir.to_owned(), source };
        // Whoever made it may have died before it was durable in the directory above.
        if dir.is_dir()
            && let Some(above) = dir.parent()
        {
            disk.sync_dir(above).map_err(io)?;
        }
        durable::make_dir(&*disk, dir).map_err(io)?;
        if dir.join("checkpoint").exists() || dir.join(seal::SEAL_FILE).exists() {
            return Err(JournalError::Exists(dir.to_owned()));
        }
        let path = dir.join(JOURNAL_FILE);
        let file = disk.create(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => JournalError::Exists(dir.to_owned()),
            _ => io(source),
        })?;
        lock(&file, dir)?;
        let mut begin = frame::MAGIC.to_vec();
        let text = canonical::to_vec(&header).map_err(|e| io(io::Error::other(e)))?;
        frame::append_frame(&mut begin, |out| out.extend_from_slice(&text));
        disk::write_all_at(&*disk, &file, &begin, 0)
            .and_then(|()| disk.sync_data(&file))
            .and_then(|()| disk.sync_dir(dir))
            .map_err(|source| {
                // Nothing was recorded: another attempt must not find a record.
                let _still_there = disk.remove_file(&path);
                io(source)
            })?;
        Self::start(disk, dir, header, options, (file, begin.len() as u64), Resume::default())
    }

    fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        header: JournalHeader,
        options: JournalOptions,
        (file, length): (File, u64),
        resume: Resume,
    ) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: dir.to_owned(), source };
        let redactor = Redactor::standard().map_err(|e| io(io::Error::other(e)))?;
        let redactor = Arc::new(redactor);
        let size = resume.frontier.size();
        let state = State {
            appended: size,
            written: size,
            durable: size,
            counts: resume.counts.clone(),
            last: resume.last,
            frontier: resume.frontier.clone(),
            ..State::default()
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), ..Shared::default() });
        let own = file.try_clone().map_err(io)?;
        let place = place::Place::new(Arc::clone(&disk), dir.join(JOURNAL_FILE), own, length)
            .map_err(io)?;
        let writer = writer::Writer::new(place, Arc::clone(&shared), options, resume);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(|| writer.run())
            .map_err(io)?;
        Ok(Self {
            dir: dir.to_owned(),
            encoder: Encoder::new(header.session, header.policy, header.on_behalf_of.as_ref()),
            header,
            options,
            blobs: Blobs::on(Arc::clone(&disk), dir).with_redactor(redactor.clone()),
            redactor,
            disk,
            shared,
            writer: Mutex::new(Some(thread)),
            sealed: Mutex::default(),
            _lock: file,
        })
    }

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

    /// Back-pressure; and, while it can't be written, a refusal after some time.
    fn wait_for_room<'a>(
        &self,
        state: MutexGuard<'a, State>,
        since: &Instant,
    ) -> Result<MutexGuard<'a, State>, SinkError> {
        self.shared.work.notify_one();
        let Some(trouble) = &state.trouble else {
            return Ok(self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = self.options.patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            let bytes = self.options.buffer_bytes;
            let text = format!("{bytes} bytes of events wait already, and {trouble}");
            return Err(SinkError::Unwritable(text));
        }
        let (state, _) =
            self.shared.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        Ok(state)
    }

    fn wait_for(
        &self,
        reached: impl Fn(&State) -> bool,
        mut state: MutexGuard<'_, State>,
    ) -> Result<(), SinkError> {
        loop {
            if reached(&state) {
                return Ok(());
            }
            if let Some(refusal) = state.refusal() {
                return Err(refusal);
            }
            self.shared.work.notify_one();
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Sink for Journal {
    fn observe(&self, draft: Draft) -> Result<EventId, SinkError> {
        writer::with_scratch(|scratch, random| {
            let mut new_id = || {
                let random = random.take();
                random
                    .map(|random| EventId::new(draft.time, random))
                    .map_err(|e| SinkError::Unwritable(format!("no random bytes for an id: {e}")))
            };
            let id = new_id()?;
            let mut parts = self.encoder.parts(scratch, id, &draft).map_err(malformed)?;
            let kind = draft.body.event_type();
            // What was redacted stands before the event, which may be the last one.
            let mut told = None;
            if let Some((draft, applied)) =
                redacted::redact(&draft, id, &scratch[parts.data], &self.redactor, &self.blobs)?
            {
                scratch.clear();
                let before = self.encoder.parts(scratch, new_id()?, &applied).map_err(malformed)?;
                told = Some((before.gap, scratch.len()));
                parts = self.encoder.parts(scratch, id, &draft).map_err(malformed)?;
            }
            let mut state = self.shared.lock();
            let mut full_since = None;
            loop {
                if let Some(reason) = &state.failed {
                    return Err(SinkError::Unwritable(reason.clone()));
                }
                if state.stop || state.last == Some(EventType::SessionClosed) {
                    return Err(SinkError::Sealed);
                }
                let waiting = state.queue.bytes.len();
                if waiting == 0
                    || waiting + scratch.len() <= self.options.buffer_bytes
                    || tells_of_the_recorder(kind)
                {
                    break;
                }
                state = self.wait_for_room(state, full_since.get_or_insert_with(Instant::now))?;
            }
            let start = state.queue.bytes.len();
            state.queue.bytes.extend_from_slice(scratch);
            let end = state.queue.bytes.len();
            if let Some((gap, length)) = told {
                state.queue.events.push((start + gap, start + length));
                state.appended += 1;
                *state.counts.entry(EventType::RedactionApplied).or_insert(0) += 1;
            }
            state.queue.events.push((start + parts.gap, end));
            state.appended += 1;
            *state.counts.entry(kind).or_insert(0) += 1;
            state.last = Some(kind);
            // One wake-up when something begins to wait, one when much does: never one per event.
            let wake =
                start == 0 || (start < self.options.wake_bytes && end >= self.options.wake_bytes);
            drop(state);
            if wake {
                self.shared.work.notify_one();
            }
            Ok(id)
        })
    }

    fn flush(&self) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        let target = state.appended;
        state.flush_to = state.flush_to.max(target);
        self.wait_for(|state| state.written >= target, state)
    }

    fn barrier(&self) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        let target = state.appended;
        state.flush_to = state.flush_to.max(target);
        state.sync_to = state.sync_to.max(target);
        self.wait_for(|state| state.durable >= target, state)
    }
}

/// Few, and told by who must not wait for the disk: they don't wait for room.
const fn tells_of_the_recorder(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::RecorderDegraded
            | EventType::RecorderRestored
            | EventType::SessionPaused
            | EventType::SessionResumed
    )
}

fn malformed(error: EventError) -> SinkError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    SinkError::Malformed(text)
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
