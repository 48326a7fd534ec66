//! What is open through the guard.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::FileType;
use nix::errno::Errno;

use super::backing::Result;
use super::node::Node;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) node: Arc<Node>,
    /// Where its data goes through this process.
    pub(super) file: Option<File>,
    pub(super) writable: bool,
    /// Who opened it: a release does not tell.
    pub(super) pid: u32,
    /// A descriptor of it was closed: its release is on its way, unless a copy or a mapping is left.
    pub(super) flushed: AtomicBool,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) node: Arc<Node>,
    /// The listing as it was when it was read from the start.
    pub(super) listing: Mutex<Vec<Listed>>,
}

/// One entry of a listing.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: OsString,
    pub(super) ino: u64,
    pub(super) kind: FileType,
}

#[derive(Debug)]
enum Open {
    File(Arc<OpenFile>),
    Directory(Arc<OpenDirectory>),
}

/// All that is open, by the number that the kernel was given.
#[derive(Debug, Default)]
pub(super) struct Handles {
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

impl Handles {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, open: Open) -> u64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(handle, open);
        handle
    }

    pub(super) fn insert_file(&self, file: OpenFile) -> u64 {
        self.insert(Open::File(Arc::new(file)))
    }

    pub(super) fn insert_directory(&self, directory: OpenDirectory) -> u64 {
        self.insert(Open::Directory(Arc::new(directory)))
    }

    /// # Errors
    /// `EBADF`.
    pub(super) fn file(&self, handle: u64) -> Result<Arc<OpenFile>> {
        match self.open().get(&handle) {
            Some(Open::File(file)) => Ok(Arc::clone(file)),
            Some(Open::Directory(_)) | None => Err(Errno::EBADF),
        }
    }

    /// # Errors
    /// `EBADF`.
    pub(super) fn directory(&self, handle: u64) -> Result<Arc<OpenDirectory>> {
        match self.open().get(&handle) {
            Some(Open::Directory(directory)) => Ok(Arc::clone(directory)),
            Some(Open::File(_)) | None => Err(Errno::EBADF),
        }
    }

    /// All files that are open for writing.
    pub(super) fn writable(&self) -> Vec<Arc<OpenFile>> {
        let writable = |open: &Open| match open {
            Open::File(file) if file.writable => Some(Arc::clone(file)),
            Open::File(_) | Open::Directory(_) => None,
        };
        self.open().values().filter_map(writable).collect()
    }

    /// # Errors
    /// `EBADF`.
    pub(super) fn remove_file(&self, handle: u64) -> Result<Arc<OpenFile>> {
        match self.open().remove(&handle) {
            Some(Open::File(file)) => Ok(file),
            Some(Open::Directory(_)) | None => Err(Errno::EBADF),
        }
    }

    pub(super) fn remove_directory(&self, handle: u64) -> Option<Arc<OpenDirectory>> {
        match self.open().remove(&handle)? {
            Open::Directory(directory) => Some(directory),
            Open::File(_) => None,
        }
    }
}
