//! Which directory a handle means: a cache, moved along by the events themselves, so that a path is that of the moment
//! of the event and not that of the moment when the event is read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};

use custody_model::WorkspacePath;
use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;

use super::group::{handle_of, open_handle, path_below};
use crate::content::rebased;
use crate::content::{open_beneath, path_beneath};

/// Directories that are looked up before the first event. Those beyond it are looked up when they are first met: they
/// then have the name of that moment.
pub const MAX_PRIMED_DIRECTORIES: usize = 65_536;

/// Directories that are remembered; beyond it the cache starts anew.
pub const MAX_CACHED_DIRECTORIES: usize = 1 << 20;

/// Removed directories that are remembered, for files that are closed after their directory is gone.
const MAX_REMOVED: usize = 4_096;

/// Handles and the paths that they stand for.
#[derive(Debug, Default)]
pub(super) struct Directories {
    paths: HashMap<Box<[u8]>, WorkspacePath>,
    removed: VecDeque<Box<[u8]>>,
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
        for path in known {
            if let Ok(directory) = path_beneath(root, &path)
                && let Ok(handle) = handle_of(directory.as_fd())
            {
                self.paths.insert(handle, path);
            }
        }
    }

    /// The path that the directory had when the event that is handled now happened.
    pub(super) fn path(&mut self, root: BorrowedFd<'_>, handle: &[u8]) -> Option<&WorkspacePath> {
        if !self.paths.contains_key(handle) {
            let directory = open_handle(root, handle).ok()?;
            let path = path_below(root, directory.as_fd())?;
            let path = WorkspacePath::from_bytes(&path).ok()?;
            self.made(handle, path);
        }
        self.paths.get(handle)
    }

    /// A directory was made, or is known to be at `path`.
    pub(super) fn made(&mut self, handle: &[u8], path: WorkspacePath) {
        if self.paths.len() >= MAX_CACHED_DIRECTORIES {
            self.paths.clear();
            self.removed.clear();
        }
        self.paths.insert(handle.into(), path);
    }

    /// A directory was renamed, with all below it.
    pub(super) fn renamed(&mut self, from: &WorkspacePath, to: &WorkspacePath) {
        for path in self.paths.values_mut() {
            if path.starts_with(from)
                && let Some(moved) = rebased(path, from, to)
            {
                *path = moved;
            }
        }
    }

    /// Two directories changed places.
    pub(super) fn exchanged(&mut self, a: &WorkspacePath, b: &WorkspacePath) {
        for path in self.paths.values_mut() {
            let moved = if path.starts_with(a) {
                rebased(path, a, b)
            } else if path.starts_with(b) {
                rebased(path, b, a)
            } else {
                None
            };
            if let Some(moved) = moved {
                *path = moved;
            }
        }
    }

    /// A directory was removed. It is remembered a while: files that were in it may be closed later.
    pub(super) fn removed(&mut self, handle: &[u8]) {
        self.removed.push_back(handle.into());
        if self.removed.len() > MAX_REMOVED
            && let Some(oldest) = self.removed.pop_front()
        {
            self.paths.remove(&oldest);
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
