//! All inodes that the kernel knows, and how each is reached in the backing.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use fuser::FileType;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::FileStat;

use super::backing::{Key, Result, file_type, open_at, stat_at, stat_of};
use super::node::Node;
use super::rules::Guarded;

/// The kernel's number of the root (`FUSE_ROOT_ID`).
pub(super) const ROOT: u64 = 1;
/// Where numbers begin that are not those of the backing.
const SUBSTITUTES: u64 = 1 << 63;

/// All inodes that the kernel knows.
#[derive(Debug)]
pub(super) struct Table {
    root: Arc<Node>,
    nodes: RwLock<Nodes>,
    generations: AtomicU64,
    /// Cached descriptors of directories, and most of them.
    descriptors: AtomicUsize,
    max_descriptors: usize,
}

#[derive(Debug)]
struct Nodes {
    by_id: HashMap<u64, Arc<Node>>,
    /// Inodes whose number is taken: by the root, or by one of another device.
    substitutes: HashMap<Key, u64>,
    next_substitute: u64,
}

impl Nodes {
    fn find(&self, key: Key) -> Option<&Arc<Node>> {
        let id = self.substitutes.get(&key).copied().unwrap_or(key.ino);
        self.by_id.get(&id).filter(|node| node.key == key)
    }
}

/// Where something is in the backing.
#[derive(Debug)]
pub(super) enum Location {
    /// What this descriptor stands for.
    Descriptor(Arc<OwnedFd>),
    /// This name in this directory.
    Entry(Arc<OwnedFd>, OsString),
}

impl Table {
    /// A table that knows the root alone.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub(super) fn new(root: OwnedFd, max_descriptors: usize) -> Result<Self> {
        let stat = stat_of(&root)?;
        let node = Node::new(ROOT, 0, Key::from(&stat), FileType::Directory);
        node.looked_up();
        *node.directory() = Some(Arc::new(root));
        let node = Arc::new(node);
        let nodes = Nodes {
            by_id: HashMap::from([(ROOT, Arc::clone(&node))]),
            substitutes: HashMap::from([(node.key, ROOT)]),
            next_substitute: SUBSTITUTES,
        };
        Ok(Self {
            root: node,
            nodes: RwLock::new(nodes),
            generations: AtomicU64::new(1),
            descriptors: AtomicUsize::new(0),
            max_descriptors,
        })
    }

    pub(super) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// The node of this number.
    ///
    /// # Errors
    /// `ESTALE` if there is none.
    pub(super) fn get(&self, id: u64) -> Result<Arc<Node>> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.by_id.get(&id).cloned().ok_or(Errno::ESTALE)
    }

    /// The node of this inode, if the kernel knows it.
    pub(super) fn find(&self, key: Key) -> Option<Arc<Node>> {
        self.nodes.read().unwrap_or_else(PoisonError::into_inner).find(key).cloned()
    }

    /// The node of what was found at `name` in `parent`, with one more reference of the kernel.
    pub(super) fn intern(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        stat: &FileStat,
        guard: Option<&Arc<Guarded>>,
    ) -> Arc<Node> {
        let key = Key::from(stat);
        {
            let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(node) = nodes.find(key) {
                node.looked_up();
                node.found_at(parent, name, guard);
                return Arc::clone(node);
            }
        }
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.find(key) {
            node.looked_up();
            node.found_at(parent, name, guard);
            return Arc::clone(node);
        }
        let taken = key.ino <= ROOT || key.ino >= SUBSTITUTES || nodes.by_id.contains_key(&key.ino);
        let id = if taken {
            let id = nodes.next_substitute;
            nodes.next_substitute += 1;
            nodes.substitutes.insert(key, id);
            id
        } else {
            key.ino
        };
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let node = Arc::new(Node::new(id, generation, key, file_type(stat.st_mode)));
        node.looked_up();
        node.found_at(parent, name, guard);
        nodes.by_id.insert(id, Arc::clone(&node));
        node
    }

    /// The kernel dropped `count` references.
    pub(super) fn forget(&self, id: u64, count: u64) {
        if id == ROOT {
            return;
        }
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let Some(mut node) = nodes.by_id.get(&id).cloned() else { return };
        if !node.forgotten(count) {
            return;
        }
        // A directory stays while something below it is known; then it goes with the last of these.
        while node.id != ROOT && node.is_unknown() && Arc::strong_count(&node) == 2 {
            nodes.by_id.remove(&node.id);
            nodes.substitutes.remove(&node.key);
            if node.directory().is_some() {
                self.descriptors.fetch_sub(1, Ordering::Relaxed);
            }
            let up = node.name().map(|n| n.parent);
            drop(node);
            match up {
                Some(parent) => node = parent,
                None => return,
            }
        }
    }

    /// A descriptor (`O_PATH`) of a directory.
    ///
    /// # Errors
    /// `ESTALE` if something else stands where it was; those of `openat2`.
    pub(super) fn directory(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        if let Some(known) = &*node.directory() {
            return Ok(Arc::clone(known));
        }
        if let Some(pinned) = node.pinned() {
            return Ok(pinned);
        }
        let opened = Arc::new(self.open_named(node, OFlag::O_PATH | OFlag::O_DIRECTORY)?);
        *node.directory() = Some(Arc::clone(&opened));
        if self.descriptors.fetch_add(1, Ordering::Relaxed) >= self.max_descriptors {
            self.drop_descriptors();
        }
        Ok(opened)
    }

    /// Closes all cached descriptors but the root's; they are opened again as they are needed.
    fn drop_descriptors(&self) {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        for node in nodes.by_id.values().filter(|node| node.id != ROOT) {
            if node.directory().take().is_some() {
                self.descriptors.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn open_named(&self, node: &Arc<Node>, flags: OFlag) -> Result<OwnedFd> {
        let name = node.name().ok_or(Errno::ESTALE)?;
        let parent = self.directory(&name.parent)?;
        let opened = open_at(parent.as_fd(), &name.name, flags)?;
        if Key::from(&stat_of(&opened)?) == node.key { Ok(opened) } else { Err(Errno::ESTALE) }
    }

    /// A descriptor (`O_PATH`) of anything.
    ///
    /// # Errors
    /// As [`Table::directory`].
    pub(super) fn descriptor(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>> {
        if node.kind == FileType::Directory {
            return self.directory(node);
        }
        match node.pinned() {
            Some(pinned) => Ok(pinned),
            None => self.open_named(node, OFlag::O_PATH).map(Arc::new),
        }
    }

    /// Where it is, without opening it if it is a file.
    pub(super) fn location(&self, node: &Arc<Node>) -> Result<Location> {
        if node.kind == FileType::Directory {
            return self.directory(node).map(Location::Descriptor);
        }
        if let Some(pinned) = node.pinned() {
            return Ok(Location::Descriptor(pinned));
        }
        let name = node.name().ok_or(Errno::ESTALE)?;
        Ok(Location::Entry(self.directory(&name.parent)?, name.name))
    }

    /// Its attributes.
    ///
    /// # Errors
    /// As [`Table::directory`].
    pub(super) fn stat(&self, node: &Arc<Node>) -> Result<FileStat> {
        let stat = match self.location(node)? {
            Location::Descriptor(fd) => stat_of(&*fd)?,
            Location::Entry(dir, name) => stat_at(dir.as_fd(), &name)?,
        };
        if Key::from(&stat) == node.key { Ok(stat) } else { Err(Errno::ESTALE) }
    }
}
