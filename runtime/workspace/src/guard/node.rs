//! One inode that the kernel knows, and where it stands in the tree.
//!
//! A node keeps names, not descriptors: a workspace has more files than a process may have open.
//! Descriptors are kept for directories (a bounded cache of the table) and for what lost its last
//! name while the kernel still knows it.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use custody_model::WorkspacePath;
use fuser::{BackingId, FileType};
use nix::errno::Errno;

use super::backing::{Key, Result};
use super::rules::{Guarded, Wall};
use crate::content::Stamp;

/// An inode that the kernel knows.
#[derive(Debug)]
pub(super) struct Node {
    /// Its number towards the kernel: `st_ino` of the backing, but for the root and collisions.
    pub(super) id: u64,
    /// Tells it from an earlier inode of the same number.
    pub(super) generation: u64,
    pub(super) key: Key,
    pub(super) kind: FileType,
    lookups: AtomicU64,
    place: Mutex<Place>,
    directory: Mutex<Option<Arc<OwnedFd>>>,
    /// How it is open. Held while an open is decided, so that all opens agree.
    opens: Mutex<Opens>,
    /// The file as it was when its content was recorded last, while it has a writer. Held while a
    /// version is hashed and recorded: who waits for it may rely on the record. Taken after `opens`.
    recorded: Mutex<Option<Stamp>>,
}

#[derive(Debug, Default)]
struct Place {
    names: Vec<Name>,
    /// Its path when it lost its last name.
    last: Option<WorkspacePath>,
    /// The strictest rule of all its names.
    guard: Option<Arc<Guarded>>,
    /// Kept from the loss of its last name until the kernel forgets it.
    pinned: Option<Arc<OwnedFd>>,
}

/// One name of a node. It keeps its directory alive.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) parent: Arc<Node>,
    pub(super) name: OsString,
}

/// How a file is open at the moment, through all its handles.
#[derive(Debug, Default)]
pub(super) struct Opens {
    /// Handles whose data the kernel moves itself.
    pub(super) passthrough: u32,
    /// Handles whose data goes through this process.
    pub(super) plain: u32,
    /// It was open for writing since the kernel knows it: a mapping may be left of that.
    pub(super) written: bool,
    /// Handles that may write.
    pub(super) writers: u32,
    /// The process that opened it for writing last.
    pub(super) writer: u32,
    /// The kernel's name of the backing file; one per inode, kept until it is forgotten.
    pub(super) backing: Option<Arc<BackingId>>,
}

impl Node {
    pub(super) fn new(id: u64, generation: u64, key: Key, kind: FileType) -> Self {
        Self {
            id,
            generation,
            key,
            kind,
            lookups: AtomicU64::new(0),
            place: Mutex::default(),
            directory: Mutex::default(),
            opens: Mutex::default(),
            recorded: Mutex::default(),
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn opens(&self) -> MutexGuard<'_, Opens> {
        self.opens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recorded(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cached descriptor of a directory.
    pub(super) fn directory(&self) -> MutexGuard<'_, Option<Arc<OwnedFd>>> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rule that guards it under any of its names.
    pub(super) fn guard(&self) -> Option<Arc<Guarded>> {
        self.place().guard.clone()
    }

    /// Whether a rule denies it.
    pub(super) fn is_denied(&self) -> bool {
        self.place().guard.as_ref().is_some_and(|g| g.wall == Wall::Deny)
    }

    /// Whether it is guarded at all.
    pub(super) fn is_guarded(&self) -> bool {
        self.place().guard.is_some()
    }

    /// One more reference of the kernel.
    pub(super) fn looked_up(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }

    /// `count` references of the kernel less. Whether none is left.
    pub(super) fn forgotten(&self, count: u64) -> bool {
        let before = self.lookups.fetch_sub(count, Ordering::Relaxed);
        before <= count
    }

    /// Whether the kernel has no reference.
    pub(super) fn is_unknown(&self) -> bool {
        self.lookups.load(Ordering::Relaxed) == 0
    }

    /// It was found at this name: from now on the one that it is recorded under.
    pub(super) fn found_at(&self, parent: &Arc<Self>, name: &OsStr, guard: Option<&Arc<Guarded>>) {
        let mut place = self.place();
        if let Some(guard) = guard
            && place.guard.as_ref().is_none_or(|known| known.wall < guard.wall)
        {
            place.guard = Some(Arc::clone(guard));
        }
        let same = |n: &Name| n.parent.id == parent.id && n.name == name;
        match place.names.iter().rposition(same) {
            Some(at) => {
                let last = place.names.len() - 1;
                place.names.swap(at, last);
            }
            None => place.names.push(Name { parent: Arc::clone(parent), name: name.to_owned() }),
        }
    }

    /// It lost this name. `descriptor` is kept if it was the last one that is known.
    pub(super) fn lost(
        &self,
        parent: u64,
        name: &OsStr,
        path: &WorkspacePath,
        descriptor: OwnedFd,
    ) {
        let mut place = self.place();
        place.names.retain(|n| n.parent.id != parent || n.name != name);
        if place.names.is_empty() {
            place.last = Some(path.clone());
            place.pinned = Some(Arc::new(descriptor));
        }
    }

    /// It has another name instead of this one.
    pub(super) fn moved(&self, from: (u64, &OsStr), parent: &Arc<Self>, name: &OsStr) {
        let mut place = self.place();
        place.names.retain(|n| n.parent.id != from.0 || n.name != from.1);
        place.names.push(Name { parent: Arc::clone(parent), name: name.to_owned() });
    }

    /// The name that it was found at last, if it still has one.
    pub(super) fn name(&self) -> Option<Name> {
        self.place().names.last().cloned()
    }

    /// The descriptor that is kept since it lost its last name.
    pub(super) fn pinned(&self) -> Option<Arc<OwnedFd>> {
        self.place().pinned.clone()
    }

    /// Its path; that of its last name, if it has none any more.
    ///
    /// # Errors
    /// `ENAMETOOLONG` if the path is longer than 4096 bytes: what can't be named can't be recorded.
    pub(super) fn path(&self) -> Result<WorkspacePath> {
        let place = self.place();
        match place.names.last().cloned() {
            Some(name) => {
                drop(place);
                name.path()
            }
            None => Ok(place.last.clone().unwrap_or_default()),
        }
    }

    /// The paths of all its names that are known; at least one.
    pub(super) fn paths(&self) -> Result<Vec<WorkspacePath>> {
        let names = self.place().names.clone();
        if names.len() < 2 {
            return Ok(vec![self.path()?]);
        }
        names.iter().rev().map(Name::path).collect()
    }

    /// The path of an entry of this directory.
    pub(super) fn child(&self, name: &OsStr) -> Result<WorkspacePath> {
        self.path()?.join(name.as_bytes()).map_err(|_| Errno::ENAMETOOLONG)
    }
}

impl Name {
    fn path(&self) -> Result<WorkspacePath> {
        let mut components = vec![self.name.clone()];
        let mut at = Arc::clone(&self.parent);
        let top = loop {
            let place = at.place();
            let Some(up) = place.names.last().cloned() else {
                break place.last.clone().unwrap_or_default();
            };
            drop(place);
            components.push(up.name);
            at = up.parent;
        };
        let mut bytes = top.as_bytes().to_vec();
        for component in components.iter().rev() {
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(component.as_bytes());
        }
        WorkspacePath::from_bytes(&bytes).map_err(|_| Errno::ENAMETOOLONG)
    }
}
