//! Opening and creating files, and recording what was written when they are closed.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{
    Access, FileKind, FileOpened, FileRead, FileWritten, Operation, Uncertain,
};
use fuser::{BackingId, FopenFlags};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::backing::{Result, create_at, reopen, stat_of};
use super::caller::Caller;
use super::entries::absent;
use super::handle::OpenFile;
use super::node::{Node, Opens};
use super::server::{Entry, Server};
use crate::content::{Stamp, Written};

/// Set in the flags of an open that is made to run the file (`__FMODE_EXEC`, `linux/fs.h`).
const FMODE_EXEC: i32 = 0x20;
/// How often a release is waited for before a file counts as one that can still be written, and for how long each time.
const MAX_RELEASE_LOOKS: u32 = 20;
const RELEASE_LOOK: Duration = Duration::from_micros(100);
/// Flags of an open that the server must not repeat on the backing: the kernel sees to them.
const KERNEL_FLAGS: OFlag = OFlag::O_APPEND
    .union(OFlag::O_DIRECT)
    .union(OFlag::O_TRUNC)
    .union(OFlag::O_CREAT)
    .union(OFlag::O_EXCL)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_ASYNC);

/// Names a file of the backing to the kernel, so that it can move data without this process.
pub(super) type Register<'a> = &'a dyn Fn(BorrowedFd<'_>) -> std::io::Result<BackingId>;

/// An answer to an open.
pub(super) struct Opened {
    pub(super) handle: u64,
    pub(super) flags: FopenFlags,
    /// Where the kernel moves the data itself.
    pub(super) backing: Option<Arc<BackingId>>,
}

/// How a file is to be opened.
#[derive(Clone, Copy)]
struct Wanted {
    flags: OFlag,
    writable: bool,
    truncate: bool,
    access: Access,
}

impl Wanted {
    fn new(raw: i32) -> Self {
        let flags = OFlag::from_bits_truncate(raw);
        let writable = raw & libc::O_ACCMODE != libc::O_RDONLY;
        let access = if writable || flags.contains(OFlag::O_TRUNC) {
            Access::Write
        } else if raw & FMODE_EXEC != 0 {
            Access::Execute
        } else {
            Access::Read
        };
        Self { flags, writable, truncate: flags.contains(OFlag::O_TRUNC), access }
    }

    fn operation(self) -> Operation {
        match self.access {
            Access::Read => Operation::Open,
            Access::Execute => Operation::Execute,
            Access::Write => Operation::Write,
        }
    }

    /// What the kernel may do without asking.
    fn answer(self, passthrough: bool, server: &Server) -> FopenFlags {
        let mut flags = FopenFlags::empty();
        if !self.writable {
            flags |= FopenFlags::FOPEN_NOFLUSH;
        }
        // Where data also moves past the kernel's cache of this mount, the cache may be old.
        if !passthrough && !server.passes_through() {
            flags |= FopenFlags::FOPEN_KEEP_CACHE;
        }
        flags
    }
}

impl Server {
    /// Opens a file: decided, recorded with its content, then done.
    pub(super) fn open(
        &self,
        caller: Caller,
        id: u64,
        raw_flags: i32,
        register: Register<'_>,
    ) -> Result<Opened> {
        let wanted = Wanted::new(raw_flags);
        let node = self.table.get(id)?;
        match wanted.access {
            Access::Write => self.check_change(caller, &node, wanted.operation())?,
            Access::Read | Access::Execute => self.check_read(caller, &node, wanted.operation())?,
        }
        let path = node.path()?;
        let file = {
            let _names = self.reading_names();
            self.table.descriptor(&node)?
        };
        let (content, doubtful) = self.content_of(&node, &path, file.as_fd())?;
        let opened = FileOpened {
            path,
            kind: FileKind::File,
            access: wanted.access,
            content,
            uncertain: Uncertain::of(false, doubtful),
        };
        self.record(caller.pid, Body::FileOpened(opened))?;

        let mut opens = node.opens();
        let stat = stat_of(&*file)?;
        if wanted.access == Access::Write && opens.writers == 0 {
            *node.recorded() = Some(Stamp::from(&stat));
        }
        if wanted.truncate {
            self.truncate_file(caller, &node, file.as_fd(), 0)?;
        }
        let backing = self.backing_of(&mut opens, stat.st_mode, file.as_fd(), register);
        let data = match backing {
            Some(_) => None,
            None => Some(reopen(file.as_fd(), wanted.flags.difference(KERNEL_FLAGS))?),
        };
        Ok(self.opened(caller, &node, &mut opens, wanted, backing, data))
    }

    /// What an open of the file sees, and whether that is uncertain because somebody can write to it in the same moment. What
    /// was hashed last, if nothing changed since; size and times tell that only of a file that was never open for writing: a
    /// mapping may outlive its descriptor, and changes content without them. Such a file is hashed again, and what changed
    /// is recorded first.
    pub(super) fn content_of(
        &self,
        node: &Arc<Node>,
        path: &WorkspacePath,
        file: BorrowedFd<'_>,
    ) -> Result<(FileRead, bool)> {
        self.await_releases(node);
        let (writers, writer, maybe_mapped) = {
            let opens = node.opens();
            (opens.writers, opens.writer, opens.written && opens.backing.is_some())
        };
        if writers > 0 || maybe_mapped {
            let limits = self.contents.limits();
            let limit = if writers > 0 { limits.open } else { limits.closed };
            if u64::try_from(stat_of(file)?.st_size).unwrap_or(0) > limit {
                self.record_version(writer, node, writers > 0)?;
                return Ok((FileRead::default(), true));
            }
            *node.recorded() = None;
            self.record_version(writer, node, writers > 0)?;
            if writers > 0 && node.opens().backing.is_none() {
                // What a mapping wrote is in the kernel's cache of this mount, where it can't be hashed.
                return Ok((FileRead::default(), true));
            }
            return Ok((self.contents.known(path).unwrap_or_default(), writers > 0));
        }
        let (content, unnoticed) = self.contents.opened_through(path, file);
        if let Some(written) = unnoticed {
            for path in node.paths()? {
                self.record_written(writer, path, written.clone(), false)?;
            }
        }
        Ok((content, false))
    }

    /// Waits a moment for the releases of writers that have closed all they had: a release comes late. One whose mapping
    /// lives on has none.
    fn await_releases(&self, node: &Arc<Node>) {
        for _ in 0..MAX_RELEASE_LOOKS {
            if node.opens().writers == 0 {
                return;
            }
            let open = |open: &Arc<OpenFile>| {
                open.node.id == node.id && !open.flushed.load(Ordering::Acquire)
            };
            if self.handles.writable().iter().any(open) {
                return;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the kernel tells nobody that a release is on its way"
            )]
            std::thread::sleep(RELEASE_LOOK);
        }
    }

    /// The one backing file of an inode, if its data can pass without this process. All opens of an
    /// inode agree, as the kernel demands. Not for files with set-id bits: a write through the
    /// backing would keep them.
    fn backing_of(
        &self,
        opens: &mut Opens,
        mode: u32,
        file: BorrowedFd<'_>,
        register: Register<'_>,
    ) -> Option<Arc<BackingId>> {
        let alone = opens.passthrough == 0;
        if !self.passes_through() || opens.plain > 0 || (alone && mode & 0o6000 != 0) {
            return None;
        }
        if opens.backing.is_none() {
            match register(file) {
                Ok(backing) => opens.backing = Some(Arc::new(backing)),
                Err(error) => tracing::debug!(%error, "data of this file goes through the keeper"),
            }
        }
        opens.backing.clone()
    }

    fn opened(
        &self,
        caller: Caller,
        node: &Arc<Node>,
        opens: &mut Opens,
        wanted: Wanted,
        backing: Option<Arc<BackingId>>,
        file: Option<File>,
    ) -> Opened {
        match backing {
            Some(_) => opens.passthrough += 1,
            None => opens.plain += 1,
        }
        if wanted.writable {
            opens.written = true;
            opens.writers += 1;
            opens.writer = caller.pid;
        }
        let open = OpenFile {
            node: Arc::clone(node),
            file,
            writable: wanted.writable,
            pid: caller.pid,
            flushed: AtomicBool::new(false),
        };
        let flags = wanted.answer(backing.is_some(), self);
        Opened { handle: self.handles.insert_file(open), flags, backing }
    }

    /// Creates a file and opens it.
    pub(super) fn create(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
        raw_flags: i32,
        register: Register<'_>,
    ) -> Result<(Entry, Opened)> {
        let wanted = Wanted::new(raw_flags);
        let parent = self.table.get(parent)?;
        let path = self.check_name(caller, &parent, name, Operation::Create)?;
        let _names = self.reading_names();
        let directory = self.table.directory(&parent)?;
        absent(directory.as_fd(), name)?;
        self.record_created(caller, &path, FileKind::File, true)?;
        let flags = wanted.flags.difference(KERNEL_FLAGS) | OFlag::O_CREAT | OFlag::O_EXCL;
        let mode = Mode::from_bits_truncate(mode);
        let made = caller.create(|| create_at(directory.as_fd(), name, flags, mode));
        let made: OwnedFd = made.map_err(|e| self.not_created(caller, &path, FileKind::File, e))?;
        self.contents.written_through(&path, made.as_fd(), self.contents.limits().open);

        let stat = stat_of(&made)?;
        let node = self.table.intern(&parent, name, &stat, None);
        let mut opens = node.opens();
        *node.recorded() = Some(Stamp::from(&stat));
        let backing = self.backing_of(&mut opens, stat.st_mode, made.as_fd(), register);
        let data = backing.is_none().then(|| File::from(made));
        let opened = self.opened(caller, &node, &mut opens, wanted, backing, data);
        drop(opens);
        Ok((self.entry(&node, &stat), opened))
    }

    /// A handle is closed somewhere: the version is hashed before the close returns.
    pub(super) fn flush(&self, caller: Caller, handle: u64) -> Result<()> {
        let open = self.handles.file(handle)?;
        if !open.writable {
            return Ok(());
        }
        open.flushed.store(true, Ordering::Release);
        // A shell closes a copy of what it has just truncated. That the file is empty is recorded
        // if it stays so: by the release, the next open or the next effect, whichever is first.
        let is_empty = {
            let _names = self.reading_names();
            self.table.stat(&open.node)?.st_size == 0
        };
        if is_empty {
            return Ok(());
        }
        let pid = if caller.pid == 0 { open.pid } else { caller.pid };
        let others = open.node.opens().writers > 1;
        self.record_version(pid, &open.node, others)
    }

    /// Writes the file's data to the disk.
    pub(super) fn fsync(&self, caller: Caller, handle: u64, data_only: bool) -> Result<()> {
        let open = self.handles.file(handle)?;
        self.with_file(&open, OFlag::O_RDONLY, |file| {
            if data_only { nix::unistd::fdatasync(file) } else { nix::unistd::fsync(file) }
        })?;
        if open.writable { self.record_version(caller.pid, &open.node, true) } else { Ok(()) }
    }

    /// The last use of a handle ended.
    pub(super) fn release(&self, handle: u64) -> Result<()> {
        let open = self.handles.file(handle)?;
        // A release comes late: what another writer has begun by now is that one's version. Nobody begins while it is
        // recorded. The handle is known until its version is recorded, so that `settle` misses none.
        let recorded = {
            let opens = open.node.opens();
            if open.writable && opens.writers < 2 {
                self.record_version(open.pid, &open.node, false)
            } else {
                Ok(())
            }
        };
        self.handles.remove_file(handle)?;
        {
            let mut opens = open.node.opens();
            match open.file {
                Some(_) => opens.plain = opens.plain.saturating_sub(1),
                None => opens.passthrough = opens.passthrough.saturating_sub(1),
            }
            if open.writable {
                opens.writers = opens.writers.saturating_sub(1);
            }
            if opens.writers == 0 {
                *open.node.recorded() = None;
            }
        }
        let id = open.node.id;
        drop(open);
        self.table.forget(id, 0);
        recorded
    }

    /// Records the version that a file has now, if it is another than the record has.
    pub(super) fn record_version(&self, pid: u32, node: &Arc<Node>, open: bool) -> Result<()> {
        let file = {
            let _names = self.reading_names();
            self.table.descriptor(node)?
        };
        let mut recorded = node.recorded();
        let stamp = Stamp::of(file.as_fd())?;
        if *recorded == Some(stamp) {
            return Ok(());
        }
        let limits = self.contents.limits();
        let limit = if open { limits.open } else { limits.closed };
        // All names of a hard link have the new version.
        let paths = node.paths()?;
        let versions = self.contents.written_under(&paths, file.as_fd(), limit);
        for (path, written) in paths.into_iter().zip(versions) {
            if written.changed {
                self.record_written(pid, path, written, open)?;
            }
        }
        *recorded = Some(stamp);
        drop(recorded);
        // What the kernel keeps may be older than a write through a mapping.
        self.attributes_changed(node);
        Ok(())
    }

    fn record_written(
        &self,
        pid: u32,
        path: WorkspacePath,
        written: Written,
        open: bool,
    ) -> Result<()> {
        let Written { before, after, changed: _ } = written;
        let written =
            FileWritten { path, kind: FileKind::File, before, after, open, uncertain: None };
        self.record(pid, Body::FileWritten(written))
    }

    /// Records what was written to files that still are open, or whose release is on its way.
    pub(super) fn settle(&self) -> Result<()> {
        let mut seen = HashSet::new();
        for open in self.handles.writable() {
            let id = open.node.id;
            if seen.insert(id) {
                let writer = open.node.opens().writer;
                self.record_version(writer, &open.node, true)?;
            }
            // If it was released meanwhile, this was what still kept it.
            drop(open);
            self.table.forget(id, 0);
        }
        Ok(())
    }

    /// Runs `act` with a file opened at least for `access`.
    pub(super) fn with_file<T>(
        &self,
        open: &OpenFile,
        access: OFlag,
        act: impl FnOnce(&File) -> Result<T>,
    ) -> Result<T> {
        if let Some(file) = &open.file {
            return act(file);
        }
        let path = {
            let _names = self.reading_names();
            self.table.descriptor(&open.node)?
        };
        act(&reopen(path.as_fd(), access)?)
    }
}
