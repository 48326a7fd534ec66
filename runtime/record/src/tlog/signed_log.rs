//! A log on disk that several processes extend, one at a time: tiles, and a signed checkpoint over them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::Digest;

use super::anchor::Anchor;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::{KeyError, Keys};
use super::tiles::{TileWriter, entries_there, remove_outdated};
use super::tree::Frontier;
use crate::disk::Disk;
use crate::durable;
use crate::witness::COSIGNED_FILE;

/// Why a log can't be extended.
#[derive(Debug, thiserror::Error)]
pub enum ExtendError {
    /// A file or directory.
    #[error("the log in {path} can't be used")]
    Io {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its head.
    #[error("the log's checkpoint is not this installation's")]
    Checkpoint(#[from] CheckpointError),
    /// The keys that sign its heads.
    #[error("the keys that sign the log can't be used")]
    Keys(#[from] KeyError),
    /// Its tiles.
    #[error("the log's tiles do not give the root of its checkpoint")]
    Root,
    /// It has no head, and it had one: it is not begun anew.
    #[error(
        "the log in {path} has no checkpoint, and {trace}: nothing is appended, for that would begin it anew; \
         put its newest checkpoint back (`custody fsck` says what is known of it)"
    )]
    HeadMissing {
        /// Its directory.
        path: PathBuf,
        /// The evidence that it had one, for people.
        trace: String,
    },
    /// It has fewer entries than it had.
    #[error(
        "the log in {path} was taken back: it has {found} entries, and {anchor} says that it had {known}; nothing is \
         appended; put the newest copy of its directory back (`custody fsck` says what is missing)"
    )]
    TakenBack {
        /// Its directory.
        path: PathBuf,
        /// The file with the other size.
        anchor: PathBuf,
        /// Entries that are there.
        found: u64,
        /// Entries that were there.
        known: u64,
    },
    /// It has other entries than it had.
    #[error(
        "the log in {path} is another one than it was: {anchor} has another root for its first {size} entries; nothing \
         is appended; put the newest copy of its directory back"
    )]
    Replaced {
        /// Its directory.
        path: PathBuf,
        /// The file with the other root.
        anchor: PathBuf,
        /// The size that they have different roots for.
        size: u64,
    },
}

/// A log in a directory, with the keys that sign its heads.
#[derive(Debug)]
pub(crate) struct SignedLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    origin: String,
    keys: Keys,
}

/// The file in the log's directory that is locked.
const LOCK_FILE: &str = ".lock";

/// Held by whoever extends the log; other processes wait.
#[derive(Debug)]
pub(crate) struct LogLock {
    _file: File,
}

impl LogLock {
    /// Waits until no process extends the log in `dir`, and keeps others from it; `None` if there is no lock file, as in a copy.
    pub(crate) fn shared(dir: &Path) -> Option<Self> {
        let file = File::open(dir.join(LOCK_FILE)).ok()?;
        // SAFETY: flock takes any open descriptor, and this one is open; closing it releases the lock.
        let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH) } == 0;
        locked.then_some(Self { _file: file })
    }
}

impl SignedLog {
    /// The log called `origin` in `dir`, which is made if it is absent.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        origin: String,
        keys: &Keys,
    ) -> Result<Self, ExtendError> {
        durable::make_dir(&*disk, dir)
            .map_err(|source| ExtendError::Io { path: dir.to_owned(), source })?;
        Ok(Self { disk, dir: dir.to_owned(), origin, keys: keys.clone() })
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Name of the installation.
    pub(crate) fn name(&self) -> &str {
        self.keys.name()
    }

    pub(crate) fn io(&self) -> impl Fn(io::Error) -> ExtendError + use<'_> {
        |source| ExtendError::Io { path: self.dir.clone(), source }
    }

    /// Waits for the lock.
    pub(crate) fn lock(&self) -> Result<LogLock, ExtendError> {
        let lock = self.disk.open_lock(&self.dir.join(LOCK_FILE)).map_err(self.io())?;
        // SAFETY: flock takes any open descriptor, and this one is open; closing it releases the lock.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) } != 0 {
            return Err(self.io()(io::Error::last_os_error()));
        }
        Ok(LogLock { _file: lock })
    }

    /// The keys as they are now.
    pub(crate) fn keys(&self) -> Result<Keys, ExtendError> {
        Ok(self.keys.renewed()?)
    }

    /// The signed head; `None` before the first.
    pub(crate) fn head(&self) -> Result<Option<Checkpoint>, ExtendError> {
        let bytes = match fs::read(self.dir.join("checkpoint")) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io()(error)),
        };
        // After the head: one that a newer key signed is then known.
        let verifier = self.keys()?.verifier();
        Ok(Some(Checkpoint::open(&bytes, &self.origin, &verifier)?))
    }

    /// Signs the head with the key that is in force now.
    pub(crate) fn sign_again(&self, _lock: &LogLock) -> Result<(), ExtendError> {
        let Some(head) = self.head()? else { return Ok(()) };
        let signed = head.sign(&self.keys()?);
        durable::replace(self.disk(), &self.dir.join("checkpoint"), &signed).map_err(self.io())
    }

    /// What stands beside the log.
    pub(crate) fn anchor(&self) -> Result<Anchor, ExtendError> {
        Anchor::read(&self.dir, &self.origin, &self.keys()?.verifier()).map_err(self.io())
    }

    /// Writes down beside the log that it has come so far, which is durable. An anchor that can't be written stays as it is:
    /// an older one is true as well.
    pub(crate) fn set_anchor(&self, _lock: &LogLock, size: u64, root: Digest) {
        let head = Checkpoint { origin: self.origin.clone(), size, root };
        if let Ok(keys) = self.keys() {
            let _older = Anchor::write(self.disk(), &self.dir, &head.sign(&keys));
        }
    }

    /// Refuses a log that its anchor, or the head that witnesses cosigned last, knows to have been longer, or another one.
    /// `root_at` gives the log's root at a size, as far as that is known without reading all of it.
    pub(crate) fn held_against(
        &self,
        known: &Checkpoint,
        by: &Path,
        size: u64,
        root_at: impl FnOnce(u64) -> Option<Digest>,
    ) -> Result<(), ExtendError> {
        let (path, anchor) = (self.dir.clone(), by.to_owned());
        if known.size > size {
            return Err(ExtendError::TakenBack { path, anchor, found: size, known: known.size });
        }
        match root_at(known.size) {
            Some(root) if root != known.root => {
                Err(ExtendError::Replaced { path, anchor, size: known.size })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Where the log can be gone on with, after `head`. Without a head it has to be one that never had any: what its first
    /// append may have left in tiles, at most `first` entries, counts for nothing.
    pub(crate) fn frontier(
        &self,
        head: Option<&Checkpoint>,
        first: u64,
    ) -> Result<Frontier, ExtendError> {
        let size = head.map_or(0, |head| head.size);
        let tiles = TileWriter::resume(&*self.disk, &self.dir, size).map_err(self.io())?;
        match head {
            Some(head) if head.root != tiles.frontier().root() => return Err(ExtendError::Root),
            Some(_) => {}
            None => self.never_had_a_head(first)?,
        }
        Ok(tiles.frontier().clone())
    }

    fn never_had_a_head(&self, first: u64) -> Result<(), ExtendError> {
        let trace = |trace| Err(ExtendError::HeadMissing { path: self.dir.clone(), trace });
        let there = entries_there(&self.dir).map_err(self.io())?;
        if there > first {
            return trace(format!("its tiles hold {there} entries"));
        }
        if self.dir.join(COSIGNED_FILE).exists() {
            return trace("witnesses cosigned one".to_owned());
        }
        Ok(())
    }

    /// The head that witnesses cosigned last, and its file.
    pub(crate) fn cosigned(&self) -> Result<Option<(Checkpoint, PathBuf)>, ExtendError> {
        let path = self.dir.join(COSIGNED_FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let verifier = self.keys()?.verifier();
                Ok(Some((Checkpoint::open(&bytes, &self.origin, &verifier)?, path)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.io()(error)),
        }
    }

    /// Appends entries of at most 65,535 bytes, durably, and signs the new head. After an error nothing was appended
    /// that a later call would not replace.
    pub(crate) fn extend<'a, I>(
        &self,
        _lock: &LogLock,
        entries: I,
    ) -> Result<Checkpoint, ExtendError>
    where
        I: IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
    {
        let entries = entries.into_iter();
        let before = self.head()?;
        let size = before.as_ref().map_or(0, |head| head.size);
        let mut tiles = TileWriter::resume(&*self.disk, &self.dir, size).map_err(self.io())?;
        match before {
            Some(head) if head.root != tiles.frontier().root() => return Err(ExtendError::Root),
            // Whoever made the head may have failed to make its name durable, and nothing else says that there is one.
            Some(_) if !Anchor::path(&self.dir).exists() => {
                self.disk.sync_dir(&self.dir).map_err(self.io())?;
            }
            Some(_) => {}
            None => self.never_had_a_head(entries.len() as u64)?,
        }
        for entry in entries {
            tiles.push(entry).map_err(self.io())?;
        }
        tiles.finish().map_err(self.io())?;
        let (origin, frontier) = (self.origin.clone(), tiles.frontier());
        let after = Checkpoint { origin, size: frontier.size(), root: frontier.root() };
        durable::replace(self.disk(), &self.dir.join("checkpoint"), &after.sign(&self.keys()?))
            .map_err(self.io())?;
        remove_outdated(self.disk(), &self.dir, size, after.size);
        Ok(after)
    }
}
