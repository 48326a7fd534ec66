//! What all operations share: the state of one guard, the decision, and the record before the deed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use custody_model::{Clock, WorkspacePath};
use custody_policy::PathRules;
use custody_record::Body;
use custody_record::event::{FileDenied, Operation};
use fuser::{FileAttr, Generation, INodeNo, Notifier};
use nix::errno::Errno;
use nix::sys::stat::FileStat;

use super::backing::{Key, Result, attributes};
use super::caller::Caller;
use super::handle::Handles;
use super::node::Node;
use super::rules::{Guarded, Wall, guard_of};
use super::table::Table;
use crate::access::AccessSink;
use crate::content::Contents;

/// One guard's state, shared by its threads.
pub(super) struct Server {
    pub(super) rules: PathRules,
    pub(super) contents: Arc<Contents>,
    pub(super) sink: Arc<dyn AccessSink>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) table: Table,
    pub(super) handles: Handles,
    /// Held for writing while names move, for reading while a name is used.
    pub(super) names: RwLock<()>,
    /// Whether the kernel moves data itself; settled when the mount begins.
    pub(super) passthrough: AtomicBool,
    /// How long the kernel may keep what it was told.
    pub(super) ttl: Duration,
    /// Most entries that are looked at before a directory is renamed.
    pub(super) max_rename_entries: usize,
    /// Inodes that a guarded path shares with another name.
    pub(super) aliases: HashMap<Key, Arc<Guarded>>,
    /// The way to the kernel's caches.
    pub(super) notifier: OnceLock<Notifier>,
}

/// What the kernel is told of a name.
pub(super) enum Entry {
    /// It is there.
    Found { attributes: FileAttr, generation: Generation, ttl: Duration },
    /// It is not there, and that may be kept for so long.
    Absent { ttl: Duration },
}

impl Server {
    pub(super) fn reading_names(&self) -> RwLockReadGuard<'_, ()> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn moving_names(&self) -> RwLockWriteGuard<'_, ()> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn passes_through(&self) -> bool {
        self.passthrough.load(Ordering::Relaxed)
    }

    /// Tells the record. What follows may happen only if this succeeds.
    ///
    /// # Errors
    /// `EIO` if the record can't be written.
    pub(super) fn record(&self, pid: u32, body: Body) -> Result<()> {
        self.sink.access(self.clock.now(), pid, body).map_err(|error| {
            tracing::error!(%error, "an access could not be recorded and was refused");
            Errno::EIO
        })
    }

    /// Records a refused attempt and says what the process gets.
    pub(super) fn refuse(
        &self,
        caller: Caller,
        operation: Operation,
        path: WorkspacePath,
        target: Option<WorkspacePath>,
        guard: &Guarded,
    ) -> Errno {
        let errno = guard.wall.errno();
        let denied = FileDenied {
            path,
            operation,
            target,
            object: None,
            rule: guard.rule.to_string(),
            errno: name_of(errno),
            count: 1,
        };
        match self.record(caller.pid, Body::FileDenied(denied)) {
            Ok(()) => errno,
            Err(unrecorded) => unrecorded,
        }
    }

    /// Refuses what would look into a denied node.
    pub(super) fn check_read(
        &self,
        caller: Caller,
        node: &Node,
        operation: Operation,
    ) -> Result<()> {
        match node.guard() {
            Some(guard) if guard.wall == Wall::Deny => {
                Err(self.refuse(caller, operation, node.path()?, None, &guard))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses what would change a guarded node.
    pub(super) fn check_change(
        &self,
        caller: Caller,
        node: &Node,
        operation: Operation,
    ) -> Result<()> {
        match node.guard() {
            Some(guard) => Err(self.refuse(caller, operation, node.path()?, None, &guard)),
            None => Ok(()),
        }
    }

    /// Refuses what would make, change or remove a guarded name; else says its path.
    pub(super) fn check_name(
        &self,
        caller: Caller,
        parent: &Node,
        name: &OsStr,
        operation: Operation,
    ) -> Result<WorkspacePath> {
        let path = parent.child(name)?;
        // What lies in a guarded directory is guarded by that as well, unless a later rule opens it.
        let guard = if parent.is_denied() { parent.guard() } else { guard_of(&self.rules, &path) };
        match guard {
            Some(guard) => Err(self.refuse(caller, operation, path, None, &guard)),
            None => Ok(path),
        }
    }

    /// The rule that guards what was found at `path`, also if it is known by another name.
    pub(super) fn guard_found(
        &self,
        path: &WorkspacePath,
        stat: &FileStat,
    ) -> Option<Arc<Guarded>> {
        let by_path = guard_of(&self.rules, path);
        if stat.st_nlink < 2 || self.aliases.is_empty() {
            return by_path;
        }
        let by_inode = self.aliases.get(&Key::from(stat)).cloned();
        match (by_path, by_inode) {
            (Some(path), Some(inode)) => Some(if path.wall < inode.wall { inode } else { path }),
            (path, inode) => path.or(inode),
        }
    }

    /// What the kernel is told of a node.
    pub(super) fn entry(&self, node: &Node, stat: &FileStat) -> Entry {
        Entry::Found {
            attributes: self.attributes(node, stat),
            generation: Generation(node.generation),
            ttl: self.ttl_of(node),
        }
    }

    /// How long the kernel may keep what it was told: not at all if each attempt is to be seen.
    pub(super) fn ttl_of(&self, node: &Node) -> Duration {
        if node.is_denied() { Duration::ZERO } else { self.ttl }
    }

    /// The attributes of a node. Those of a denied one tell that it is there, and nothing else; all
    /// permission bits are set, so that the kernel leaves each refusal to the guard, which records it.
    pub(super) fn attributes(&self, node: &Node, stat: &FileStat) -> FileAttr {
        let attributes = attributes(node.id, stat);
        if !node.is_denied() {
            return attributes;
        }
        FileAttr { size: 0, blocks: 0, perm: 0o777, nlink: 1, ..attributes }
    }

    /// Tells the kernel to forget what it knows about an inode's attributes.
    pub(super) fn attributes_changed(&self, node: &Node) {
        if let Some(notifier) = self.notifier.get()
            && let Err(error) = notifier.inval_inode(INodeNo(node.id), -1, 0)
        {
            tracing::debug!(%error, "the kernel did not take an invalidation");
        }
    }
}

/// A symbolic name, as in `EACCES`.
pub(super) fn name_of(errno: Errno) -> String {
    format!("{errno:?}")
}
