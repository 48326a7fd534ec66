//! Appending to the control log and reading it, from several threads and processes.
//!
//! Appends of several threads share one fsync: who comes first writes for all who came meanwhile. Processes take turns
//! under a file lock. What is appended is durable when `append` returns; tiles and checkpoint follow by `integrate`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use custody_model::Digest;
use custody_model::error::chain;

use super::event::{ControlDraft, ControlEvent, ControlEventError};
use super::pending::{self, Base, Leftover, Pending};
use super::placed::{self, Placed};
use crate::blob::Blobs;
use crate::disk::{self, Disk};
use crate::journal::FrameError;
use crate::redact::{Redactor, RedactorError};
use crate::tlog::{
    Anchor, BundleError, Checkpoint, CheckpointError, ENTRIES_PER_BUNDLE, ExtendError, Frontier,
    Keys, LogLock, SignedLog, Verifier, entries_of, entry_path, leaf_hash,
};
use crate::vault::{Scope, Vault, VaultError};

/// Entries that may wait for their tiles; an append over that integrates them itself.
pub const MAX_PENDING: usize = 4096;

/// Tries to read a log whose tiles another process replaces meanwhile.
const READ_TRIES: usize = 20;

/// Why the control log can't be appended to or read. Nothing that waits for it may happen.
#[derive(Debug, thiserror::Error)]
pub enum ControlLogError {
    /// A file.
    #[error("the control log can't be read or written")]
    Io(#[from] io::Error),
    /// The file of entries that are not in tiles yet.
    #[error("the end of the control log is damaged")]
    Frame(#[from] FrameError),
    /// The key of its documents.
    #[error("the key of the control plane's documents can't be used")]
    Vault(#[from] VaultError),
    /// There was a key, and it is gone.
    #[error(
        "the key of the control plane's documents, {0}, is gone, and documents that it seals are there: no other one is \
         made; put it back from its backup"
    )]
    KeyGone(PathBuf),
    /// What takes credentials out.
    #[error("the control log can't be redacted")]
    Redactor(#[from] RedactorError),
    /// Tiles and checkpoint.
    #[error("the control log can't be extended")]
    Extend(#[from] ExtendError),
    /// A bundle.
    #[error("bundle {index} of the control log is damaged")]
    Bundle {
        /// Which.
        index: u64,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// An event.
    #[error("event {seq} of the control log is damaged")]
    Event {
        /// Which.
        seq: u64,
        /// Why.
        #[source]
        source: ControlEventError,
    },
    /// A draft that is no event.
    #[error("the event can't be written")]
    Draft(#[source] ControlEventError),
    /// The tiles and what follows them do not meet.
    #[error(
        "the control log has {tiles} entries in tiles, and what follows begins at {pending}: nothing is appended; put back \
         the newest copy of its directory, with its `checkpoint` and its `pending` of one moment"
    )]
    Torn {
        /// In tiles.
        tiles: u64,
        /// First entry after them.
        pending: u64,
    },
    /// The thread that wrote for this one failed; why, in words.
    #[error("the control log can't be written: {0}")]
    Group(String),
}

/// The control log of an installation.
#[derive(Debug)]
pub struct ControlLog {
    log: SignedLog,
    blobs: Blobs,
    vault: Arc<Vault>,
    redactor: Redactor,
    group: Mutex<Group>,
    turned: Condvar,
    /// What this process failed to append and to cut off again; changed under the file lock alone.
    leftover: Mutex<Option<Leftover>>,
}

#[derive(Debug, Default)]
struct Group {
    waiting: Vec<(u64, Vec<ControlDraft>)>,
    done: Vec<(u64, Result<Vec<ControlEvent>, ControlLogError>)>,
    next: u64,
    writing: bool,
    /// What this process last saw; checked against the file's length before it is used.
    seen: Option<End>,
}

/// The end of the log as the last append left it.
#[derive(Clone, Debug)]
struct End {
    base: u64,
    size: u64,
    prev: Option<Digest>,
    length: u64,
    /// This process made all of the file durable.
    own: bool,
    /// The tree over all of the log's entries, in tiles or not.
    frontier: Frontier,
}

/// One ticket, one result.
type Done = Vec<(u64, Result<Vec<ControlEvent>, ControlLogError>)>;

impl ControlLog {
    /// Opens the log in `dir`, which is made if it is absent. Its documents are sealed with the control plane's key of
    /// `vault`.
    ///
    /// # Errors
    /// [`ControlLogError`].
    pub fn open(dir: &Path, keys: &Keys, vault: Arc<Vault>) -> Result<Self, ControlLogError> {
        Self::open_on(disk::real(), dir, keys, vault)
    }

    /// As [`ControlLog::open`], written through a file layer of the caller's.
    ///
    /// # Errors
    /// [`ControlLogError`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        keys: &Keys,
        vault: Arc<Vault>,
    ) -> Result<Self, ControlLogError> {
        if Blobs::has_sealed(dir) && vault.key(Scope::Control)?.is_none() {
            return Err(ControlLogError::KeyGone(vault.path(Scope::Control)));
        }
        let key = vault.make(Scope::Control)?;
        let redactor = Redactor::new(key.salt(), &[], &[])?;
        let blobs = Blobs::on(disk.clone(), dir).with_key(Some(key));
        let log = SignedLog::open(disk, dir, keys.verifier().control_origin(), keys)?;
        Ok(Self {
            log,
            blobs,
            vault,
            redactor,
            group: Mutex::default(),
            turned: Condvar::new(),
            leftover: Mutex::default(),
        })
    }

    /// The keys of this installation's contents.
    #[must_use]
    pub fn vault(&self) -> &Arc<Vault> {
        &self.vault
    }

    /// The log's blobs: documents that events name.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The log's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.log.dir()
    }

    /// Appends events in this order, one after the other, and returns them once they are durable. Before one that something
    /// was taken out of stands a `redaction.applied`, which is not among those that are returned.
    ///
    /// # Errors
    /// [`ControlLogError`]; none of them is in the log then.
    pub fn append(&self, drafts: Vec<ControlDraft>) -> Result<Vec<ControlEvent>, ControlLogError> {
        let mut group = self.lock();
        let ticket = group.next;
        group.next += 1;
        group.waiting.push((ticket, drafts));
        loop {
            if let Some(at) = group.done.iter().position(|(of, _)| *of == ticket) {
                return group.done.swap_remove(at).1;
            }
            if group.writing {
                group = self.turned.wait(group).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            group.writing = true;
            let batch = std::mem::take(&mut group.waiting);
            let seen = group.seen.take();
            drop(group);
            let (done, end) = self.write(batch, seen);
            group = self.lock();
            group.writing = false;
            group.seen = end;
            group.done.extend(done);
            self.turned.notify_all();
        }
    }

    /// Writes for a whole group under the file lock. A draft that is no event fails alone; a file that can't be written
    /// fails all.
    fn write(
        &self,
        batch: Vec<(u64, Vec<ControlDraft>)>,
        seen: Option<End>,
    ) -> (Done, Option<End>) {
        let tickets: Vec<u64> = batch.iter().map(|(ticket, _)| *ticket).collect();
        match self.write_group(batch, seen) {
            Ok((done, end)) => (done, Some(end)),
            Err(error) => {
                let text = chain(&error);
                let failed = |ticket| (ticket, Err(ControlLogError::Group(text.clone())));
                (tickets.into_iter().map(failed).collect(), None)
            }
        }
    }

    fn write_group(
        &self,
        batch: Vec<(u64, Vec<ControlDraft>)>,
        seen: Option<End>,
    ) -> Result<(Done, End), ControlLogError> {
        let lock = self.lock_file()?;
        let mut end = self.end(&lock, seen)?;
        let mut entries = Vec::new();
        let mut done = Vec::new();
        for (ticket, drafts) in batch {
            let (mut events, mut bytes) = (Vec::new(), Vec::new());
            let (mut size, mut prev) = (end.size, end.prev);
            let mut failed = None;
            for draft in drafts {
                match placed::place(draft, size, prev, &self.redactor) {
                    Ok(Placed { event, entries }) => {
                        size += entries.len() as u64;
                        prev = entries.last().map(|entry| leaf_hash(entry)).or(prev);
                        events.push(event);
                        bytes.extend(entries);
                    }
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            if let Some(error) = failed {
                done.push((ticket, Err(error)));
            } else {
                (end.size, end.prev) = (size, prev);
                bytes.iter().for_each(|entry| end.frontier.push(leaf_hash(entry)));
                entries.append(&mut bytes);
                done.push((ticket, Ok(events)));
            }
        }
        if !entries.is_empty() {
            let (disk, dir) = (self.log.disk(), self.log.dir());
            end.length = pending::append(disk, dir, end.length, end.own, &entries).map_err(
                |(error, leftover)| {
                    *self.leftover.lock().unwrap_or_else(PoisonError::into_inner) = leftover;
                    error
                },
            )?;
            end.own = true;
            self.log.set_anchor(&lock, end.size, end.frontier.root());
        }
        if usize::try_from(end.size - end.base).is_ok_and(|n| n > MAX_PENDING) {
            // The entries are durable: a failure here is the next append's to meet.
            return match self.integrate_locked(&lock) {
                Ok(integrated) => Ok((done, integrated)),
                Err(_) => Ok((done, end)),
            };
        }
        Ok((done, end))
    }

    /// Takes the lock, and cuts off what an append of this process left when it failed.
    fn lock_file(&self) -> Result<LogLock, ControlLogError> {
        let lock = self.log.lock()?;
        let mut leftover = self.leftover.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = &*leftover {
            pending::cut(self.log.disk(), self.log.dir(), left)?;
            *leftover = None;
        }
        Ok(lock)
    }

    /// Where the log ends now.
    fn end(&self, lock: &LogLock, seen: Option<End>) -> Result<End, ControlLogError> {
        let length = fs::metadata(pending::path(self.log.dir())).map(|found| found.len()).ok();
        if let Some(seen) = seen
            && length == Some(seen.length)
            // Another process may have integrated, and appended to the very same length.
            && self.log.head()?.map_or(0, |head| head.size) == seen.base
        {
            return Ok(seen);
        }
        let found = self.meet(pending::read(self.log.dir())?)?;
        let head = self.log.head()?;
        let tiles = head.as_ref().map_or(0, |head| head.size);
        let frontier = self.whole(&found, head.as_ref())?;
        if length.is_none() {
            return self.begin(lock, found.base, frontier);
        }
        if found.base.size < tiles {
            // Somebody died after the checkpoint, before the file was replaced.
            return self.integrate_locked(lock);
        }
        Ok(End {
            base: found.base.size,
            size: found.size(),
            prev: found.prev(),
            length: found.length,
            own: false,
            frontier,
        })
    }

    /// The tree over all entries, those in tiles and those after them. Refuses a log that has lost entries: its anchor, or
    /// what witnesses cosigned, tells how far it went.
    fn whole(
        &self,
        found: &Pending,
        head: Option<&Checkpoint>,
    ) -> Result<Frontier, ControlLogError> {
        let anchor = self.log.anchor()?;
        let by = Anchor::path(self.log.dir());
        if head.is_none()
            && found.length == 0
            && let Anchor::Damaged(_) = &anchor
        {
            let trace = format!("{} stands beside it", by.display());
            let path = self.log.dir().to_owned();
            return Err(ExtendError::HeadMissing { path, trace }.into());
        }
        let known: Vec<(Checkpoint, PathBuf)> = match anchor {
            Anchor::Head(known) => vec![(known, by)],
            Anchor::Absent | Anchor::Damaged(_) => Vec::new(),
        };
        let known: Vec<_> = known.into_iter().chain(self.log.cosigned()?).collect();
        let mut frontier = self.log.frontier(head, found.entries.len() as u64)?;
        let skip = usize::try_from(frontier.size().saturating_sub(found.base.size));
        let rest = found.entries.get(skip.unwrap_or(usize::MAX)..).unwrap_or_default();
        let mut roots = vec![(frontier.size(), frontier.root())];
        for entry in rest {
            frontier.push(leaf_hash(entry));
            if known.iter().any(|(known, _)| known.size == frontier.size()) {
                roots.push((frontier.size(), frontier.root()));
            }
        }
        for (known, by) in &known {
            let root_at = |size| roots.iter().find(|(at, _)| *at == size).map(|(_, root)| *root);
            self.log.held_against(known, by, frontier.size(), root_at)?;
        }
        Ok(frontier)
    }

    /// Whether the log can be appended to: nothing of it is missing, as far as its tiles, its anchor and witnesses tell.
    ///
    /// # Errors
    /// [`ControlLogError`]: why not, and what to do.
    pub fn check(&self) -> Result<(), ControlLogError> {
        let _lock = self.lock_file()?;
        let found = self.meet(pending::read(self.log.dir())?)?;
        self.whole(&found, self.log.head()?.as_ref()).map(drop)
    }

    fn begin(
        &self,
        _lock: &LogLock,
        base: Base,
        frontier: Frontier,
    ) -> Result<End, ControlLogError> {
        let length = pending::begin(self.log.disk(), self.log.dir(), &base)?;
        Ok(End { base: base.size, size: base.size, prev: base.prev, length, own: true, frontier })
    }

    /// Refuses a file that leaves a hole after the tiles.
    fn meet(&self, found: Pending) -> Result<Pending, ControlLogError> {
        let tiles = self.log.head()?.map_or(0, |head| head.size);
        if found.base.size <= tiles && tiles <= found.size() {
            Ok(found)
        } else {
            Err(ControlLogError::Torn { tiles, pending: found.base.size })
        }
    }

    /// Puts what was appended into tiles and signs the new head. To be called about once a second, and at the end.
    ///
    /// # Errors
    /// [`ControlLogError`]; nothing is lost, and the next call tries again.
    pub fn integrate(&self) -> Result<(), ControlLogError> {
        let lock = self.lock_file()?;
        self.integrate_locked(&lock).map(drop)
    }

    fn integrate_locked(&self, lock: &LogLock) -> Result<End, ControlLogError> {
        let found = self.meet(pending::read(self.log.dir())?)?;
        let head = self.log.head()?;
        let tiles = head.as_ref().map_or(0, |head| head.size);
        let frontier = self.whole(&found, head.as_ref())?;
        let skip = usize::try_from(tiles - found.base.size).unwrap_or(usize::MAX);
        let fresh = found.entries.get(skip..).unwrap_or_default();
        if fresh.is_empty() && skip == 0 && found.length > 0 {
            return Ok(End {
                base: found.base.size,
                size: found.size(),
                prev: found.prev(),
                length: found.length,
                own: false,
                frontier,
            });
        }
        if !fresh.is_empty() {
            let _head = self.log.extend(lock, fresh.iter().map(Vec::as_slice))?;
        }
        self.begin(lock, Base { size: found.size(), prev: found.prev() }, frontier)
    }

    /// Puts everything into signed tiles and does `with` while nobody else can append.
    pub(crate) fn held<T, E: From<ControlLogError> + From<ExtendError>>(
        &self,
        with: impl FnOnce(&SignedLog, &LogLock) -> Result<T, E>,
    ) -> Result<T, E> {
        let lock = self.lock_file()?;
        self.integrate_locked(&lock)?;
        with(&self.log, &lock)
    }

    /// Number of events in the log.
    ///
    /// # Errors
    /// [`ControlLogError`].
    pub fn size(&self) -> Result<u64, ControlLogError> {
        Ok(self.snapshot()?.1.size())
    }

    /// Up to `limit` events from `from` on.
    ///
    /// # Errors
    /// [`ControlLogError`].
    pub fn read(&self, from: u64, limit: usize) -> Result<Vec<ControlEvent>, ControlLogError> {
        let mut tries = 0;
        loop {
            match self.read_once(from, limit) {
                // Partial bundles go when the log grows: then the head that was read is an old one.
                Err(ControlLogError::Io(error))
                    if error.kind() == io::ErrorKind::NotFound && tries < READ_TRIES =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn read_once(&self, from: u64, limit: usize) -> Result<Vec<ControlEvent>, ControlLogError> {
        let (tiles, pending) = self.snapshot()?;
        let mut events = Vec::new();
        let mut take = |seq: u64, entry: &[u8]| {
            let event = ControlEvent::from_canonical(entry)
                .map_err(|source| ControlLogError::Event { seq, source })?;
            events.push(event);
            Ok::<bool, ControlLogError>(events.len() >= limit)
        };
        let mut seq = from;
        while seq < tiles.min(pending.base.size) {
            let index = seq / ENTRIES_PER_BUNDLE;
            let width = (tiles - index * ENTRIES_PER_BUNDLE).min(ENTRIES_PER_BUNDLE);
            let bundle = fs::read(self.log.dir().join(entry_path(index, width)))?;
            let (entries, whole) = entries_of(&bundle, width);
            whole.map_err(|source| ControlLogError::Bundle { index, source })?;
            for (_, entry) in entries.into_iter().skip((seq % ENTRIES_PER_BUNDLE) as usize) {
                if seq >= pending.base.size {
                    break;
                }
                if take(seq, entry)? {
                    return Ok(events);
                }
                seq += 1;
            }
        }
        let skip = usize::try_from(seq.saturating_sub(pending.base.size)).unwrap_or(usize::MAX);
        for entry in pending.entries.iter().skip(skip) {
            if take(seq, entry)? {
                break;
            }
            seq += 1;
        }
        Ok(events)
    }

    /// The tiles' size and what follows them, without the lock: the tiles may be ahead of what the file still has.
    fn snapshot(&self) -> Result<(u64, Pending), ControlLogError> {
        let mut tries = 0;
        loop {
            let pending = pending::read(self.log.dir())?;
            let tiles = self.log.head()?.map_or(0, |head| head.size);
            if tiles >= pending.base.size && tiles <= pending.size() || tries >= READ_TRIES {
                return Ok((tiles, self.meet(pending)?));
            }
            tries += 1;
        }
    }

    pub(super) fn verifier_head(
        dir: &Path,
        verifier: &Verifier,
    ) -> Result<Option<Checkpoint>, ControlLogError> {
        match fs::read(dir.join("checkpoint")) {
            Ok(bytes) => {
                let head = Checkpoint::open(&bytes, &verifier.control_origin(), verifier);
                Ok(Some(head.map_err(|e: CheckpointError| ExtendError::from(e))?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Group> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
