//! The kernel's requests, translated. Nothing is decided here.
//!
//! What is not named here is answered with `ENOSYS`, after which the kernel does it by itself (locks,
//! poll) or says that it is not supported (`O_TMPFILE`, ioctl).

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileAttr, FileHandle, Filesystem, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;

use super::attributes::Change;
use super::backing::Result;
use super::caller::Caller;
use super::data::MAX_TRANSFER_BYTES;
use super::rename::Rename;
use super::server::{Entry, Server};

/// File systems that may lie on top of each other for passthrough: this one and an overlay.
const MAX_STACK_DEPTH: u32 = 2;
/// Requests that the kernel may have under way in the background, such as read-ahead.
const MAX_BACKGROUND: u16 = 64;
/// What makes the mount fast or right; each is left out where the kernel doesn't know it.
/// Not FUSE_ATOMIC_O_TRUNC: an open that truncates a running program would empty it before the kernel says ETXTBSY.
const WANTED: [InitFlags; 7] = [
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_NO_EXPORT_SUPPORT,
    InitFlags::FUSE_ASYNC_DIO,
];

/// The server as `fuser` runs it.
pub(super) struct Mediated(pub(super) Arc<Server>);

fn told(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno as i32)
}

fn reply_empty(reply: ReplyEmpty, result: Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(told(errno)),
    }
}

fn reply_attributes(reply: ReplyAttr, result: Result<(FileAttr, Duration)>) {
    match result {
        Ok((attributes, ttl)) => reply.attr(&ttl, &attributes),
        Err(errno) => reply.error(told(errno)),
    }
}

fn reply_written(reply: ReplyWrite, result: Result<u32>) {
    match result {
        Ok(count) => reply.written(count),
        Err(errno) => reply.error(told(errno)),
    }
}

fn reply_entry(reply: ReplyEntry, result: Result<Entry>) {
    match result {
        Ok(Entry::Found { attributes, generation, ttl }) => {
            reply.entry(&ttl, &attributes, generation);
        }
        Ok(Entry::Absent { ttl }) if ttl.is_zero() => reply.error(told(Errno::ENOENT)),
        // Inode 0 is how the kernel is told that it may remember the absence.
        Ok(Entry::Absent { ttl }) => reply.entry(&ttl, &nothing(), Generation(0)),
        Err(errno) => reply.error(told(errno)),
    }
}

fn reply_xattr(reply: ReplyXattr, size: u32, result: Result<Vec<u8>>) {
    match result {
        Ok(value) => match u32::try_from(value.len()) {
            Ok(length) if size == 0 => reply.size(length),
            Ok(length) if length <= size => reply.data(&value),
            Ok(_) | Err(_) => reply.error(told(Errno::ERANGE)),
        },
        Err(errno) => reply.error(told(errno)),
    }
}

fn nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind: fuser::FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

impl Filesystem for Mediated {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        for flag in WANTED {
            if let Err(missing) = config.add_capabilities(flag) {
                tracing::debug!(?missing, "the kernel's FUSE lacks a capability");
            }
        }
        let impossible = |_| std::io::Error::from(std::io::ErrorKind::InvalidInput);
        config.set_max_write(MAX_TRANSFER_BYTES).map_err(impossible)?;
        config
            .set_max_background(MAX_BACKGROUND)
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        if self.0.passes_through() {
            config.set_max_stack_depth(MAX_STACK_DEPTH).map_err(impossible)?;
            let offered = config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_ok();
            self.0.passthrough.store(offered, Ordering::Relaxed);
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        reply_entry(reply, self.0.lookup(Caller::of(request), parent.0, name));
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.0.table.forget(ino.0, count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply_attributes(reply, self.0.getattr(ino.0));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, uid, gid, size, atime, mtime };
        reply_attributes(reply, self.0.setattr(Caller::of(request), ino.0, &change));
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.0.readlink(Caller::of(request), ino.0) {
            Ok(target) => reply.data(target.as_encoded_bytes()),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.0.mknod(Caller::of(request), parent.0, name, mode, device));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.0.mkdir(Caller::of(request), parent.0, name, mode));
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.0.unlink(Caller::of(request), parent.0, name));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.0.rmdir(Caller::of(request), parent.0, name));
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.0.symlink(Caller::of(request), parent.0, name, target));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let rename = Rename { from: (parent.0, name), to: (new_parent.0, new_name), flags };
        reply_empty(reply, self.0.rename(Caller::of(request), &rename));
    }

    fn link(
        &self,
        request: &Request,
        ino: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        reply_entry(reply, self.0.link(Caller::of(request), ino.0, parent.0, name));
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let register = |fd: std::os::fd::BorrowedFd<'_>| reply.open_backing(fd);
        match self.0.open(Caller::of(request), ino.0, flags.0, &register) {
            Ok(opened) => match opened.backing {
                Some(id) => {
                    reply.opened_passthrough(FileHandle(opened.handle), opened.flags, &id);
                }
                None => reply.opened(FileHandle(opened.handle), opened.flags),
            },
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let register = |fd: std::os::fd::BorrowedFd<'_>| reply.open_backing(fd);
        let caller = Caller::of(request);
        match self.0.create(caller, parent.0, name, mode, flags, &register) {
            Ok((Entry::Found { attributes, generation, ttl }, opened)) => {
                let handle = FileHandle(opened.handle);
                match opened.backing {
                    Some(id) => reply.created_passthrough(
                        &ttl,
                        &attributes,
                        generation,
                        handle,
                        opened.flags,
                        &id,
                    ),
                    None => reply.created(&ttl, &attributes, generation, handle, opened.flags),
                }
            }
            Ok((Entry::Absent { .. }, _)) => reply.error(told(Errno::EIO)),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.0.read(handle.0, offset, size) {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply_written(reply, self.0.write(handle.0, offset, data, write_flags));
    }

    fn flush(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.0.flush(Caller::of(request), handle.0));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.0.release(handle.0));
    }

    fn fsync(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.0.fsync(Caller::of(request), handle.0, data_only));
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.0.opendir(Caller::of(request), ino.0) {
            Ok((handle, flags)) => reply.opened(FileHandle(handle), flags),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        match self.0.readdir(handle.0, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        match self.0.readdirplus(handle.0, offset, &mut reply) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.0.close_directory(handle.0);
        reply.ok();
    }

    fn fsyncdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        data_only: bool,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.0.fsyncdir(handle.0, data_only));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        match self.0.statfs() {
            Ok(s) => reply.statfs(
                s.blocks(),
                s.blocks_free(),
                s.blocks_available(),
                s.files(),
                s.files_free(),
                narrow(s.block_size()),
                narrow(s.name_max()),
                narrow(s.fragment_size()),
            ),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.0.setxattr(Caller::of(request), ino.0, name, value, flags));
    }

    fn getxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        reply_xattr(reply, size, self.0.getxattr(Caller::of(request), ino.0, name));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        reply_xattr(reply, size, self.0.listxattr(Caller::of(request), ino.0));
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(reply, self.0.removexattr(Caller::of(request), ino.0, name));
    }

    fn fallocate(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        reply_empty(reply, self.0.fallocate(handle.0, offset, length, mode));
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        match self.0.lseek(handle.0, offset, whence) {
            Ok(offset) => reply.offset(offset),
            Err(errno) => reply.error(told(errno)),
        }
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _: INodeNo,
        from: FileHandle,
        from_offset: u64,
        _: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (from, to) = ((from.0, from_offset), (to.0, to_offset));
        reply_written(reply, self.0.copy_file_range(Caller::of(request), from, to, length));
    }
}
