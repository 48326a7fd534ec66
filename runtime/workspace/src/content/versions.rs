//! One path's version, and moving whole directories of them.

use std::collections::HashMap;

use custody_model::{GitOid, WorkspacePath};
use custody_record::event::{FileKind, FileRead};
use nix::sys::stat::FileStat;

use super::{BaseEntry, Hashed, Stamp};

/// A version of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) read: FileRead,
    pub(crate) stamp: Option<Stamp>,
}

impl Version {
    /// A version that could not be read.
    pub(super) fn unread(stat: &FileStat) -> Self {
        let size = u64::try_from(stat.st_size).ok();
        Self { read: FileRead { size, ..FileRead::default() }, stamp: None }
    }
}

impl From<Hashed> for Version {
    fn from(hashed: Hashed) -> Self {
        let (digest, git_blob) = hashed.names.unzip();
        let stamp = digest.map(|_| hashed.stamp);
        Self { read: FileRead { git_blob, digest, size: Some(hashed.size) }, stamp }
    }
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file as the base commit has it.
    Base(FileRead),
    /// A file of the checkout that the base commit doesn't have (below `.git`), hashed when it was opened first.
    Seen(Version),
    /// A file that events tell of.
    Written(Version),
    /// Known to be there, with unknown content: a file of the checkout that was renamed before it was ever opened.
    Unseen,
    /// A directory that events tell of.
    Directory,
    /// A symbolic link; the blob of its target, if that is known.
    Symlink(Option<GitOid>),
    /// A symbolic link as the base commit has it.
    BaseSymlink(GitOid),
    /// A fifo, a socket or a device.
    Other,
}

impl Entry {
    pub(super) fn from_base(entry: BaseEntry) -> Self {
        match entry.mode & 0o170_000 {
            0o120_000 => Self::BaseSymlink(entry.git_blob),
            0o160_000 | 0o040_000 => Self::Directory,
            _ => Self::Base(FileRead {
                git_blob: Some(entry.git_blob),
                digest: None,
                size: Some(entry.size),
            }),
        }
    }

    pub(super) fn seen(version: Version) -> Self {
        Self::Seen(version)
    }

    pub(super) fn written(version: Version) -> Self {
        Self::Written(version)
    }

    /// The same content at a path that events tell of.
    pub(super) fn into_written(self) -> Self {
        match self {
            Self::Seen(version) => Self::Written(version),
            Self::Unseen => Self::Written(Version::default()),
            Self::BaseSymlink(blob) => Self::Symlink(Some(blob)),
            // Its git blob still tells everything: it is not hashed until it is written.
            Self::Base(_) | Self::Written(_) | Self::Directory | Self::Symlink(_) | Self::Other => {
                self
            }
        }
    }

    pub(crate) fn kind(&self) -> FileKind {
        match self {
            Self::Base(_) | Self::Seen(_) | Self::Written(_) | Self::Unseen => FileKind::File,
            Self::Directory => FileKind::Directory,
            Self::Symlink(_) | Self::BaseSymlink(_) => FileKind::Symlink,
            Self::Other => FileKind::Other,
        }
    }

    /// The content, for files.
    pub(crate) fn read(&self) -> Option<FileRead> {
        match self {
            Self::Base(read) => Some(read.clone()),
            Self::Seen(version) | Self::Written(version) => Some(version.read.clone()),
            Self::Unseen => Some(FileRead::default()),
            Self::Directory | Self::Symlink(_) | Self::BaseSymlink(_) | Self::Other => None,
        }
    }

    /// The content, if it is that of the base commit.
    pub(super) fn base(&self) -> Option<FileRead> {
        match self {
            Self::Base(read) => Some(read.clone()),
            Self::Seen(_)
            | Self::Written(_)
            | Self::Unseen
            | Self::Directory
            | Self::Symlink(_)
            | Self::BaseSymlink(_)
            | Self::Other => None,
        }
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Seen(version) | Self::Written(version) => version.stamp,
            Self::Base(_)
            | Self::Unseen
            | Self::Directory
            | Self::Symlink(_)
            | Self::BaseSymlink(_)
            | Self::Other => None,
        }
    }

    /// Whether it came to be in the session (and not in the checkout).
    pub(crate) fn is_of_session(&self) -> bool {
        match self {
            Self::Written(_) | Self::Directory | Self::Symlink(_) | Self::Other => true,
            Self::Base(_) | Self::Seen(_) | Self::Unseen | Self::BaseSymlink(_) => false,
        }
    }

    /// Whether a change of its content without an event is news.
    pub(super) fn is_recorded(&self) -> bool {
        match self {
            Self::Written(version) => version.read.digest.is_some(),
            Self::Base(_)
            | Self::Seen(_)
            | Self::Unseen
            | Self::Directory
            | Self::Symlink(_)
            | Self::BaseSymlink(_)
            | Self::Other => false,
        }
    }
}

/// Moves everything below `from` to below `to`. Looks at every path: a rename of a directory is rare.
pub(super) fn move_below(
    entries: &mut HashMap<WorkspacePath, Entry>,
    from: &WorkspacePath,
    to: &WorkspacePath,
) {
    let moved: Vec<_> = entries.extract_if(|p, _| p != from && p.starts_with(from)).collect();
    for (path, entry) in moved {
        if let Some(path) = rebased(&path, from, to) {
            entries.insert(path, entry.into_written());
        }
    }
}

/// `a` and `b` change places, with everything below them.
pub(super) fn exchange(
    entries: &mut HashMap<WorkspacePath, Entry>,
    a: &WorkspacePath,
    b: &WorkspacePath,
) {
    let moved: Vec<_> = entries.extract_if(|p, _| p.starts_with(a) || p.starts_with(b)).collect();
    for (path, entry) in moved {
        let target = if path.starts_with(a) { rebased(&path, a, b) } else { rebased(&path, b, a) };
        if let Some(target) = target {
            entries.insert(target, entry.into_written());
        }
    }
}

/// `path`, which lies below `from`, as it is called below `to`; `None` if that would be too long to exist.
pub(crate) fn rebased(
    path: &WorkspacePath,
    from: &WorkspacePath,
    to: &WorkspacePath,
) -> Option<WorkspacePath> {
    let rest = path.as_bytes().get(from.as_bytes().len()..)?;
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    let mut bytes = to.as_bytes().to_vec();
    if !rest.is_empty() && !bytes.is_empty() {
        bytes.push(b'/');
    }
    bytes.extend_from_slice(rest);
    WorkspacePath::from_bytes(&bytes).ok()
}
