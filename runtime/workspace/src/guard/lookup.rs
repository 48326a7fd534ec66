//! Names: looking up, reading links, listing directories.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use custody_record::Body;
use custody_record::event::{Access, FileKind, FileOpened, FileRead, Operation};
use fuser::{FileType, FopenFlags, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::{fdatasync, fsync};

use super::backing::{Result, open_at, stat_at};
use super::caller::Caller;
use super::handle::{Listed, OpenDirectory};
use super::node::Node;
use super::rules::{Guarded, Wall, guard_of};
use super::server::{Entry, Server};

impl Server {
    /// Looks a name up. A denied one is shown as a placeholder; what lies below it is refused.
    pub(super) fn lookup(&self, caller: Caller, parent: u64, name: &OsStr) -> Result<Entry> {
        let parent = self.table.get(parent)?;
        let path = parent.child(name)?;
        if let Some(guard) = denying(&parent) {
            return Err(self.refuse(caller, Operation::Lookup, path, None, &guard));
        }
        let _names = self.reading_names();
        let directory = self.table.directory(&parent)?;
        let stat = match stat_at(directory.as_fd(), name) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => {
                let guarded = guard_of(&self.rules, &path).is_some();
                return Ok(Entry::Absent { ttl: if guarded { Duration::ZERO } else { self.ttl } });
            }
            Err(errno) => return Err(errno),
        };
        let guard = self.guard_found(&path, &stat);
        let node = self.table.intern(&parent, name, &stat, guard.as_ref());
        Ok(self.entry(&node, &stat))
    }

    /// Where a symbolic link points.
    pub(super) fn readlink(&self, caller: Caller, id: u64) -> Result<OsString> {
        let node = self.table.get(id)?;
        self.check_read(caller, &node, Operation::Readlink)?;
        let _names = self.reading_names();
        let link = self.table.descriptor(&node)?;
        readlinkat(&*link, c"")
    }

    /// Opens a directory to list it.
    pub(super) fn opendir(&self, caller: Caller, id: u64) -> Result<(u64, FopenFlags)> {
        let node = self.table.get(id)?;
        self.check_read(caller, &node, Operation::List)?;
        let opened = FileOpened {
            path: node.path()?,
            kind: FileKind::Directory,
            access: Access::Read,
            content: FileRead::default(),
            uncertain: None,
        };
        self.record(caller.pid, Body::FileOpened(opened))?;
        let open = OpenDirectory { node, listing: Mutex::default() };
        let kept = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
        Ok((self.handles.insert_directory(open), kept))
    }

    /// Closes a directory.
    pub(super) fn close_directory(&self, handle: u64) {
        if let Some(open) = self.handles.remove_directory(handle) {
            let id = open.node.id;
            drop(open);
            self.table.forget(id, 0);
        }
    }

    /// Writes a directory to the disk.
    pub(super) fn fsyncdir(&self, handle: u64, data_only: bool) -> Result<()> {
        let open = self.handles.directory(handle)?;
        let directory = {
            let _names = self.reading_names();
            self.table.directory(&open.node)?
        };
        let opened = open_at(directory.as_fd(), ".".as_ref(), OFlag::O_RDONLY)?;
        if data_only { fdatasync(opened) } else { fsync(opened) }
    }

    /// Lists names from `offset` on.
    pub(super) fn readdir(
        &self,
        handle: u64,
        offset: u64,
        reply: &mut ReplyDirectory,
    ) -> Result<()> {
        let open = self.handles.directory(handle)?;
        let mut listing = open.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            *listing = self.list(&open.node)?;
        }
        for (at, entry) in (1..).zip(listing.iter()).skip(position(offset)?) {
            if reply.add(INodeNo(entry.ino), at, entry.kind, &entry.name) {
                break;
            }
        }
        Ok(())
    }

    /// Lists names with their attributes from `offset` on; each counts as looked up.
    pub(super) fn readdirplus(
        &self,
        handle: u64,
        offset: u64,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<()> {
        let open = self.handles.directory(handle)?;
        let mut listing = open.listing.lock().unwrap_or_else(PoisonError::into_inner);
        if offset == 0 {
            *listing = self.list(&open.node)?;
        }
        let _names = self.reading_names();
        let directory = self.table.directory(&open.node)?;
        for (at, entry) in (1..).zip(listing.iter()).skip(position(offset)?) {
            match self.add_plus(&open.node, directory.as_fd(), at, entry, reply) {
                Ok(false) => {}
                Ok(true) => break,
                // What was added counts as looked up, so it must be delivered: the error is told by
                // the next call, which begins here.
                Err(_) if at > offset + 1 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Adds one entry; says whether there was no more room for it.
    fn add_plus(
        &self,
        parent: &Arc<Node>,
        directory: BorrowedFd<'_>,
        at: u64,
        entry: &Listed,
        reply: &mut ReplyDirectoryPlus,
    ) -> Result<bool> {
        let name = &entry.name;
        let dots = matches!(name.as_bytes(), b"." | b"..");
        let stat = match stat_at(directory, if dots { OsStr::new(".") } else { name }) {
            Ok(stat) => stat,
            // It went away since the listing was read.
            Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        if dots {
            // The kernel takes no reference on these.
            let mut attributes = super::backing::attributes(entry.ino, &stat);
            attributes.kind = FileType::Directory;
            return Ok(reply.add(
                INodeNo(entry.ino),
                at,
                name,
                &Duration::ZERO,
                &attributes,
                fuser::Generation(0),
            ));
        }
        let path = parent.child(name)?;
        let guard = self.guard_found(&path, &stat);
        let node = self.table.intern(parent, name, &stat, guard.as_ref());
        let full = reply.add(
            INodeNo(node.id),
            at,
            name,
            &self.ttl_of(&node),
            &self.attributes(&node, &stat),
            fuser::Generation(node.generation),
        );
        if full {
            let id = node.id;
            drop(node);
            self.table.forget(id, 1);
        }
        Ok(full)
    }

    fn list(&self, node: &Arc<Node>) -> Result<Vec<Listed>> {
        let opened = {
            let _names = self.reading_names();
            let directory = self.table.directory(node)?;
            Dir::openat(&*directory, c".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?
        };
        opened
            .into_iter()
            .map(|entry| {
                let entry = entry?;
                Ok(Listed {
                    name: OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
                    ino: entry.ino(),
                    kind: kind_of(entry.file_type()),
                })
            })
            .collect()
    }
}

/// The rule that denies this directory.
fn denying(node: &Node) -> Option<Arc<Guarded>> {
    node.guard().filter(|guard| guard.wall == Wall::Deny)
}

fn position(offset: u64) -> Result<usize> {
    usize::try_from(offset).map_err(|_| Errno::EINVAL)
}

fn kind_of(kind: Option<Type>) -> FileType {
    match kind {
        Some(Type::Directory) => FileType::Directory,
        Some(Type::Symlink) => FileType::Symlink,
        Some(Type::Fifo) => FileType::NamedPipe,
        Some(Type::Socket) => FileType::Socket,
        Some(Type::CharacterDevice) => FileType::CharDevice,
        Some(Type::BlockDevice) => FileType::BlockDevice,
        Some(Type::File) | None => FileType::RegularFile,
    }
}
