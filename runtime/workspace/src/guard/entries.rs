//! Making and removing names: recorded before they come to be or go.
//!
//! What can be known to fail is checked before it is recorded. If the file system refuses all the
//! same (its disk is full), the event is followed by one that tells how things are.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use custody_model::{Digest, WorkspacePath};
use custody_record::Body;
use custody_record::event::{
    FileKind, FileLinked, FileRead, FileRemoved, FileSymlinked, FileWritten, Operation,
};
use fuser::FileType;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::backing::{Key, Result, file_type, open_at, recorded_kind, stat_at};
use super::caller::Caller;
use super::node::Node;
use super::server::{Entry, Server};

impl Server {
    /// Makes a directory.
    pub(super) fn mkdir(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
    ) -> Result<Entry> {
        self.make(caller, parent, name, FileKind::Directory, Operation::Mkdir, |directory| {
            mkdirat(directory, name, Mode::from_bits_truncate(mode))
        })
    }

    /// Makes a file, a fifo or a socket. Devices are refused to everybody but root of the machine,
    /// whom the kernel has let pass (`CAP_MKNOD`); it asks nothing for the character device 0:0,
    /// which to an overlay is a whiteout. None can be used on this mount (`nodev`).
    pub(super) fn mknod(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
        device: u32,
    ) -> Result<Entry> {
        let kind = recorded_kind(file_type(mode));
        match file_type(mode) {
            FileType::CharDevice if device == 0 => return Err(Errno::EPERM),
            FileType::CharDevice | FileType::BlockDevice if !caller.is_root() => {
                return Err(Errno::EPERM);
            }
            _ => {}
        }
        let format = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
        self.make(caller, parent, name, kind, Operation::Mknod, |directory| {
            let mode = Mode::from_bits_truncate(mode & 0o7777);
            mknodat(directory, name, format, mode, u64::from(device))
        })
    }

    fn make(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        kind: FileKind,
        operation: Operation,
        make: impl FnOnce(BorrowedFd<'_>) -> Result<()>,
    ) -> Result<Entry> {
        let parent = self.table.get(parent)?;
        let path = self.check_name(caller, &parent, name, operation)?;
        let _names = self.reading_names();
        let directory = self.table.directory(&parent)?;
        absent(directory.as_fd(), name)?;
        self.record_created(caller, &path, kind, false)?;
        caller
            .create(|| make(directory.as_fd()))
            .map_err(|errno| self.not_created(caller, &path, kind, errno))?;
        match kind {
            FileKind::Directory => self.contents.directory_made(&path),
            FileKind::File => {
                self.contents.written(&path);
            }
            FileKind::Symlink | FileKind::Other => self.contents.special_made(&path),
        }
        self.found(&parent, directory.as_fd(), name)
    }

    /// Makes a symbolic link. Where it points is not looked at: the kernel asks again for each
    /// name on the way when it is followed.
    pub(super) fn symlink(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        target: &Path,
    ) -> Result<Entry> {
        let parent = self.table.get(parent)?;
        let path = self.check_name(caller, &parent, name, Operation::Symlink)?;
        let _names = self.reading_names();
        let directory = self.table.directory(&parent)?;
        absent(directory.as_fd(), name)?;
        let linked = FileSymlinked {
            path: path.clone(),
            target: target.to_string_lossy().into_owned(),
            uncertain: None,
        };
        self.record(caller.pid, Body::FileSymlinked(linked))?;
        caller
            .create(|| symlinkat(target, &*directory, name))
            .map_err(|errno| self.not_created(caller, &path, FileKind::Symlink, errno))?;
        self.contents.symlinked(&path, Some(target.as_os_str().as_bytes()));
        self.found(&parent, directory.as_fd(), name)
    }

    /// Makes a hard link; not of anything guarded: an open could not tell its names apart.
    pub(super) fn link(&self, caller: Caller, id: u64, parent: u64, name: &OsStr) -> Result<Entry> {
        let node = self.table.get(id)?;
        let parent = self.table.get(parent)?;
        let source = node.path()?;
        if let Some(guard) = node.guard() {
            let target = Some(parent.child(name)?);
            return Err(self.refuse(caller, Operation::Link, source, target, &guard));
        }
        let path = self.check_name(caller, &parent, name, Operation::Link)?;
        let _names = self.moving_names();
        let directory = self.table.directory(&parent)?;
        let file = self.table.descriptor(&node)?;
        absent(directory.as_fd(), name)?;
        let linked =
            FileLinked { path: path.clone(), target: Some(source.clone()), uncertain: None };
        self.record(caller.pid, Body::FileLinked(linked))?;
        linkat(&*file, c"", &*directory, name, AtFlags::AT_EMPTY_PATH)
            .map_err(|errno| self.not_created(caller, &path, recorded_kind(node.kind), errno))?;
        self.contents.linked(&path, Some(&source), None);
        self.found(&parent, directory.as_fd(), name)
    }

    /// Removes a name that isn't a directory's.
    pub(super) fn unlink(&self, caller: Caller, parent: u64, name: &OsStr) -> Result<()> {
        self.remove(caller, parent, name, Operation::Unlink)
    }

    /// Removes an empty directory.
    pub(super) fn rmdir(&self, caller: Caller, parent: u64, name: &OsStr) -> Result<()> {
        self.remove(caller, parent, name, Operation::Rmdir)
    }

    fn remove(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        operation: Operation,
    ) -> Result<()> {
        let parent = self.table.get(parent)?;
        let path = self.check_name(caller, &parent, name, operation)?;
        let _names = self.moving_names();
        let directory = self.table.directory(&parent)?;
        let stat = stat_at(directory.as_fd(), name)?;
        let node = self.table.find(Key::from(&stat));
        if let Some(node) = &node
            && node.is_guarded()
        {
            self.check_change(caller, node, operation)?;
        }
        let kind = recorded_kind(file_type(stat.st_mode));
        let descriptor = open_at(directory.as_fd(), name, OFlag::O_PATH)?;
        let flag = if kind == FileKind::Directory {
            empty(directory.as_fd(), name)?;
            UnlinkatFlags::RemoveDir
        } else {
            UnlinkatFlags::NoRemoveDir
        };
        let before =
            (kind == FileKind::File).then(|| self.contents.known(&path).unwrap_or_default());
        let removed = FileRemoved { path: path.clone(), kind, before, uncertain: None };
        self.record(caller.pid, Body::FileRemoved(removed))?;
        unlinkat(&*directory, name, flag)
            .map_err(|errno| self.not_removed(caller, &path, kind, errno))?;
        self.contents.removed(&path, kind == FileKind::Directory);
        if let Some(node) = node {
            node.lost(parent.id, name, &path, descriptor);
        }
        Ok(())
    }

    fn found(&self, parent: &Arc<Node>, directory: BorrowedFd<'_>, name: &OsStr) -> Result<Entry> {
        let stat = stat_at(directory, name)?;
        let node = self.table.intern(parent, name, &stat, None);
        Ok(self.entry(&node, &stat))
    }

    /// Records that something empty comes to be at `path`.
    pub(super) fn record_created(
        &self,
        caller: Caller,
        path: &WorkspacePath,
        kind: FileKind,
        open: bool,
    ) -> Result<()> {
        let after = match kind {
            FileKind::File => FileRead {
                git_blob: Some(self.contents.format().blob_of(b"")),
                digest: Some(Digest::of(b"")),
                size: Some(0),
            },
            FileKind::Directory | FileKind::Symlink | FileKind::Other => FileRead::default(),
        };
        let written =
            FileWritten { path: path.clone(), kind, before: None, after, open, uncertain: None };
        self.record(caller.pid, Body::FileWritten(written))
    }

    /// Takes the record of something back that could not be made.
    pub(super) fn not_created(
        &self,
        caller: Caller,
        path: &WorkspacePath,
        kind: FileKind,
        errno: Errno,
    ) -> Errno {
        let removed = FileRemoved { path: path.clone(), kind, before: None, uncertain: None };
        self.take_back(caller, Body::FileRemoved(removed), errno)
    }

    fn not_removed(
        &self,
        caller: Caller,
        path: &WorkspacePath,
        kind: FileKind,
        errno: Errno,
    ) -> Errno {
        let after = self.contents.known(path).unwrap_or_default();
        let written = FileWritten {
            path: path.clone(),
            kind,
            before: None,
            after,
            open: false,
            uncertain: None,
        };
        self.take_back(caller, Body::FileWritten(written), errno)
    }

    /// Records how things are after a recorded operation failed with `errno`.
    pub(super) fn take_back(&self, caller: Caller, body: Body, errno: Errno) -> Errno {
        match self.record(caller.pid, body) {
            Ok(()) => errno,
            Err(unrecorded) => unrecorded,
        }
    }
}

/// Says `EEXIST` if the name is taken.
pub(super) fn absent(directory: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    match stat_at(directory, name) {
        Err(Errno::ENOENT) => Ok(()),
        Ok(_) => Err(Errno::EEXIST),
        Err(errno) => Err(errno),
    }
}

/// Says `ENOTEMPTY` if the directory `name` has entries.
pub(super) fn empty(directory: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let opened: OwnedFd = open_at(directory, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    for entry in &mut Dir::from_fd(opened)?.iter() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Err(Errno::ENOTEMPTY);
        }
    }
    Ok(())
}
