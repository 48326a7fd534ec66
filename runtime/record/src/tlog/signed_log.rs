//! A log on disk that several processes extend, one at a time: tiles, and a signed checkpoint over them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::{KeyError, Keys};
use super::tiles::{TileWriter, remove_outdated};
use crate::disk::Disk;
use crate::durable;

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
}

/// A log in a directory, with the keys that sign its heads.
#[derive(Debug)]
pub(crate) struct SignedLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    origin: String,
    keys: Keys,
}

/// Held by whoever extends the log; other processes wait.
#[derive(Debug)]
pub(crate) struct LogLock {
    _file: File,
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
        let lock = self.disk.open_lock(&self.dir.join(".lock")).map_err(self.io())?;
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

    /// Appends entries of at most 65,535 bytes, durably, and signs the new head. After an error nothing was appended
    /// that a later call would not replace.
    pub(crate) fn extend<'a>(
        &self,
        _lock: &LogLock,
        entries: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Checkpoint, ExtendError> {
        let before = self.head()?;
        let size = before.as_ref().map_or(0, |head| head.size);
        let mut tiles = TileWriter::resume(&*self.disk, &self.dir, size).map_err(self.io())?;
        if before.is_some_and(|head| head.root != tiles.frontier().root()) {
            return Err(ExtendError::Root);
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
