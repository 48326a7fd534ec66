//! Attributes: stat, chmod, chown, utimens, truncate, and those of the file system.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use custody_record::Body;
use custody_record::event::{Access, AttributesChanged, FileKind, FileOpened, Operation};
use fuser::{FileAttr, FileType, TimeOrNow};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::sys::statvfs::{Statvfs, fstatvfs};
use nix::unistd::{Gid, Uid, fchownat, truncate};

use super::backing::{Result, descriptor_path, stat_of};
use super::caller::Caller;
use super::node::Node;
use super::server::Server;

/// Which attributes are to change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<TimeOrNow>,
    pub(super) mtime: Option<TimeOrNow>,
}

impl Change {
    fn operation(&self) -> Operation {
        if self.size.is_some() {
            Operation::Truncate
        } else if self.mode.is_some() {
            Operation::Chmod
        } else if self.uid.is_some() || self.gid.is_some() {
            Operation::Chown
        } else {
            Operation::Utimens
        }
    }
}

impl Server {
    /// The attributes of a node, and how long they may be kept.
    pub(super) fn getattr(&self, id: u64) -> Result<(FileAttr, Duration)> {
        let node = self.table.get(id)?;
        let _names = self.reading_names();
        let stat = self.table.stat(&node)?;
        Ok((self.attributes(&node, &stat), self.ttl_of(&node)))
    }

    /// Changes attributes.
    pub(super) fn setattr(
        &self,
        caller: Caller,
        id: u64,
        change: &Change,
    ) -> Result<(FileAttr, Duration)> {
        let node = self.table.get(id)?;
        self.check_change(caller, &node, change.operation())?;
        let file = {
            let _names = self.reading_names();
            self.table.descriptor(&node)?
        };
        if let Some(size) = change.size {
            self.truncate(caller, &node, file.as_fd(), size)?;
        }
        self.change_owner_and_mode(caller, &node, file.as_fd(), change)?;
        if change.atime.is_some() || change.mtime.is_some() {
            if change.size.is_none() {
                self.record_attributes(caller, &node, None, None)?;
            }
            set_times(file.as_fd(), change.atime, change.mtime)?;
        }
        let stat = stat_of(&*file)?;
        Ok((self.attributes(&node, &stat), self.ttl_of(&node)))
    }

    fn change_owner_and_mode(
        &self,
        caller: Caller,
        node: &Arc<Node>,
        file: BorrowedFd<'_>,
        change: &Change,
    ) -> Result<()> {
        if change.mode.is_none() && change.uid.is_none() && change.gid.is_none() {
            return Ok(());
        }
        let mode = match change.mode {
            Some(mode) => mode,
            None => stat_of(file)?.st_mode,
        };
        self.record_attributes(caller, node, Some(mode & 0o7777), None)?;
        if change.uid.is_some() || change.gid.is_some() {
            let (uid, gid) = (change.uid.map(Uid::from_raw), change.gid.map(Gid::from_raw));
            fchownat(file, c"", uid, gid, AtFlags::AT_EMPTY_PATH)?;
        }
        match change.mode {
            Some(mode) => set_mode(file, mode),
            None => Ok(()),
        }
    }

    /// Records a change of attributes.
    pub(super) fn record_attributes(
        &self,
        caller: Caller,
        node: &Node,
        mode: Option<u32>,
        xattr: Option<String>,
    ) -> Result<()> {
        let mode = mode.map(|mode| format!("{mode:04o}"));
        let changed = AttributesChanged { path: node.path()?, mode, xattr, uncertain: None };
        self.record(caller.pid, Body::AttributesChanged(changed))
    }

    fn truncate(
        &self,
        caller: Caller,
        node: &Arc<Node>,
        file: BorrowedFd<'_>,
        size: u64,
    ) -> Result<()> {
        if node.kind != FileType::RegularFile {
            return Err(Errno::EINVAL);
        }
        let (writers, writer) = {
            let opens = node.opens();
            (opens.writers, opens.writer)
        };
        // The second half of an open that truncates: the open is on record, and what comes of it is told by the
        // close, the next open or the next effect, as for any write.
        if size == 0 && writers > 0 && writer == caller.pid {
            return self.truncate_file(caller, node, file, size);
        }
        let path = node.path()?;
        let (content, doubtful) = self.content_of(node, &path, file)?;
        let opened = FileOpened {
            path,
            kind: FileKind::File,
            access: Access::Write,
            content,
            uncertain: custody_record::event::Uncertain::of(false, doubtful),
        };
        self.record(caller.pid, Body::FileOpened(opened))?;
        self.truncate_file(caller, node, file, size)?;
        let writers = node.opens().writers > 0;
        self.record_version(caller.pid, node, writers)
    }

    /// Truncates, and drops set-id bits as for a write.
    pub(super) fn truncate_file(
        &self,
        caller: Caller,
        node: &Node,
        file: BorrowedFd<'_>,
        size: u64,
    ) -> Result<()> {
        let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
        truncate(descriptor_path(file).as_str(), size)?;
        if caller.is_root() {
            return Ok(());
        }
        let mode = stat_of(file)?.st_mode;
        self.drop_set_id_bits(node, file, mode).map(drop)
    }

    /// Does what the kernel does after a write by somebody without `CAP_FSETID`: drops set-user-id,
    /// and set-group-id of what the group may run. Says whether there was anything to drop.
    pub(super) fn drop_set_id_bits(
        &self,
        node: &Node,
        file: BorrowedFd<'_>,
        mode: u32,
    ) -> Result<bool> {
        let mut dropped = mode & 0o4000;
        if mode & 0o2010 == 0o2010 {
            dropped |= 0o2000;
        }
        if dropped == 0 || node.kind != FileType::RegularFile {
            return Ok(false);
        }
        set_mode(file, mode & !dropped)?;
        Ok(true)
    }

    /// What `statfs` tells of the backing.
    pub(super) fn statfs(&self) -> Result<Statvfs> {
        let root = self.table.directory(self.table.root())?;
        fstatvfs(&*root)
    }
}

fn set_mode(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    let path = descriptor_path(file);
    let mode = Mode::from_bits_truncate(mode & 0o7777);
    fchmodat(nix::fcntl::AT_FDCWD, path.as_str(), mode, FchmodatFlags::FollowSymlink)
}

fn set_times(
    file: BorrowedFd<'_>,
    atime: Option<TimeOrNow>,
    mtime: Option<TimeOrNow>,
) -> Result<()> {
    let times = [timespec(atime)?, timespec(mtime)?];
    // SAFETY: the path is an empty C string and `times` has the two elements that utimensat reads.
    let set = unsafe {
        libc::utimensat(file.as_raw_fd(), c"".as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH)
    };
    Errno::result(set).map(drop)
}

fn timespec(time: Option<TimeOrNow>) -> Result<libc::timespec> {
    let special = |tv_nsec| libc::timespec { tv_sec: 0, tv_nsec };
    match time {
        None => Ok(special(libc::UTIME_OMIT)),
        Some(TimeOrNow::Now) => Ok(special(libc::UTIME_NOW)),
        Some(TimeOrNow::SpecificTime(time)) => since_1970(time),
    }
}

/// The time as the kernel sent it. `fuser` 0.18 takes the fraction of a time before 1970 off
/// instead of adding it; what it did is undone here.
fn since_1970(time: SystemTime) -> Result<libc::timespec> {
    let seconds = |d: Duration| i64::try_from(d.as_secs()).map_err(|_| Errno::EINVAL);
    let (tv_sec, fraction) = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (seconds(after)?, after.subsec_nanos()),
        Err(before) => (-seconds(before.duration())?, before.duration().subsec_nanos()),
    };
    Ok(libc::timespec { tv_sec, tv_nsec: i64::from(fraction) })
}
