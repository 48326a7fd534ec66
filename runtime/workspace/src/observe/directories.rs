//! Which directory a handle means: a tree of handles and names, moved along by the events themselves, so that a path is
//! that of the moment of the event and not that of the moment when the event is read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};

use custody_model::WorkspacePath;
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;

use super::group::handle_of;
use crate::content::{open_beneath, path_beneath};

/// Directories that are looked up before the first event. Those beyond it are looked up when they are first met: they
/// then have the name of that moment.
pub const MAX_PRIMED_DIRECTORIES: usize = 65_536;

/// Directories that are remembered; beyond it the cache starts anew.
pub const MAX_CACHED_DIRECTORIES: usize = 1 << 20;

/// Removed directories that are remembered, for files that are closed after their directory is gone.
const MAX_REMOVED: usize = 4_096;

/// Deepest directory whose path can be told: a path has at most 4,096 bytes.
const MAX_DEPTH: usize = 2_048;

/// A directory that is known.
pub(super) type Id = u32;

/// The root of the workspace.
const ROOT: Id = 0;

/// Handles and what they stand for.
#[derive(Debug, Default)]
pub(super) struct Directories {
    ids: HashMap<Box<[u8]>, Id>,
    nodes: Vec<Node>,
    removed: VecDeque<Box<[u8]>>,
}

#[derive(Debug)]
struct Node {
    handle: Box<[u8]>,
    parent: Id,
    name: Box<[u8]>,
    /// It stood elsewhere once.
    moved: bool,
}

impl Directories {
    /// Learns the directories of the checkout: all that hold a known file, and those of `.git`.
    pub(super) fn prime(
        &mut self,
        root: BorrowedFd<'_>,
        files: impl Iterator<Item = WorkspacePath>,
    ) {
        let mut known = HashSet::from([WorkspacePath::root()]);
        for file in files {
            let mut next = file.parent();
            while let Some(directory) = next
                && known.len() < MAX_PRIMED_DIRECTORIES
                && !known.contains(&directory)
            {
                next = directory.parent();
                known.insert(directory);
            }
        }
        if let Ok(git) = WorkspacePath::from_bytes(b".git") {
            walk(root, git, &mut known);
        }
        self.start(root);
        // Parents first.
        let mut known: Vec<_> = known.into_iter().filter(|path| !path.is_root()).collect();
        known.sort_by_key(|path| path.as_bytes().len());
        let mut ids = HashMap::from([(WorkspacePath::root(), ROOT)]);
        for path in known {
            let parent = path.parent().and_then(|parent| ids.get(&parent).copied());
            if let Some(parent) = parent
                && let Some(name) = path.as_path().file_name()
                && let Ok(directory) = path_beneath(root, &path)
                && let Ok(handle) = handle_of(directory.as_fd())
            {
                let id = self.stands(&handle, parent, name.as_encoded_bytes());
                ids.insert(path, id);
            }
        }
    }

    /// Knows the root alone.
    fn start(&mut self, root: BorrowedFd<'_>) {
        self.ids.clear();
        self.nodes.clear();
        self.removed.clear();
        if let Ok(handle) = handle_of(root) {
            self.nodes.push(Node {
                handle: handle.clone(),
                parent: ROOT,
                name: Box::default(),
                moved: false,
            });
            self.ids.insert(handle, ROOT);
        }
    }

    /// Forgets everything but the root if there is too much.
    pub(super) fn make_room(&mut self, root: BorrowedFd<'_>) {
        if self.nodes.len() >= MAX_CACHED_DIRECTORIES {
            self.start(root);
        }
    }

    /// The directory with this handle, if it is known.
    pub(super) fn id(&self, handle: &[u8]) -> Option<Id> {
        self.ids.get(handle).copied()
    }

    /// Where the directory stands: in which other one, by which name.
    pub(super) fn place(&self, id: Id) -> Option<(&[u8], &[u8])> {
        let node = self.nodes.get(id as usize).filter(|_| id != ROOT)?;
        Some((&self.nodes.get(node.parent as usize)?.handle, &node.name))
    }

    /// The path of the directory when the event that is handled now happened.
    pub(super) fn path(&self, id: Id) -> Option<WorkspacePath> {
        let names: Vec<&[u8]> = self.line(id)?.into_iter().map(|node| &*node.name).collect();
        let mut bytes = Vec::with_capacity(64);
        for name in names.into_iter().rev() {
            if !bytes.is_empty() {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name);
        }
        WorkspacePath::from_bytes(&bytes).ok()
    }

    /// The handles of the directory and of those that it lies in, without the root's.
    pub(super) fn handles(&self, id: Id) -> impl Iterator<Item = &[u8]> {
        self.line(id).into_iter().flatten().map(|node| &*node.handle)
    }

    /// Whether the directory, or one that it lies in, stood elsewhere once.
    pub(super) fn has_moved(&self, id: Id) -> bool {
        self.line(id).into_iter().flatten().any(|node| node.moved)
    }

    /// From the directory to below the root.
    fn line(&self, mut id: Id) -> Option<Vec<&Node>> {
        let mut line = Vec::new();
        while id != ROOT {
            let node = self.nodes.get(id as usize)?;
            line.push(node);
            if line.len() > MAX_DEPTH {
                return None;
            }
            id = node.parent;
        }
        Some(line)
    }

    /// A directory was made, found or renamed: it stands in `parent` by this name.
    pub(super) fn stands(&mut self, handle: &[u8], parent: Id, name: &[u8]) -> Id {
        if let Some(id) = self.id(handle) {
            if let Some(node) = self.nodes.get_mut(id as usize).filter(|_| id != ROOT) {
                node.moved |= node.parent != parent || *node.name != *name;
                node.parent = parent;
                node.name = name.into();
            }
            return id;
        }
        // At most `MAX_CACHED_DIRECTORIES` and what one batch of events tells of.
        let id = Id::try_from(self.nodes.len()).unwrap_or(Id::MAX);
        self.nodes.push(Node { handle: handle.into(), parent, name: name.into(), moved: false });
        self.ids.insert(handle.into(), id);
        id
    }

    /// A directory was removed. It is remembered a while: files that were in it may be closed later.
    pub(super) fn removed(&mut self, handle: &[u8]) {
        self.removed.push_back(handle.into());
        if self.removed.len() > MAX_REMOVED
            && let Some(oldest) = self.removed.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

/// Adds `directory` and the directories below it to `known`.
fn walk(root: BorrowedFd<'_>, directory: WorkspacePath, known: &mut HashSet<WorkspacePath>) {
    let mut open = vec![directory];
    while let Some(path) = open.pop()
        && known.len() < MAX_PRIMED_DIRECTORIES
    {
        let Ok(fd) = open_beneath(root, &path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
            continue;
        };
        let Ok(mut listing) = Dir::from_fd(fd) else { continue };
        for entry in listing.iter().flatten() {
            if entry.file_type() == Some(Type::Directory)
                && let Ok(child) = path.join(entry.file_name().to_bytes())
            {
                open.push(child);
            }
        }
        known.insert(path);
    }
}
