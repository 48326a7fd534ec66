//! The file system behind the guard, one name at a time: nothing here follows a symlink or leaves
//! the directory that it is given.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use custody_record::event::FileKind;
use fuser::{FileAttr, FileType, INodeNo};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// What the kernel is told when an operation does not happen.
pub(super) type Result<T> = std::result::Result<T, Errno>;

/// Which inode of the backing: device and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// `st_dev`.
    pub(super) dev: u64,
    /// `st_ino`.
    pub(super) ino: u64,
}

impl From<&FileStat> for Key {
    fn from(stat: &FileStat) -> Self {
        Self { dev: stat.st_dev, ino: stat.st_ino }
    }
}

/// Opens `name` in `dir`, never through a symlink and never out of `dir`.
pub(super) fn open_at(dir: BorrowedFd<'_>, name: &OsStr, flags: OFlag) -> Result<OwnedFd> {
    create_at(dir, name, flags, Mode::empty())
}

/// As [`open_at`], with the permission bits of a file that `O_CREAT` makes.
pub(super) fn create_at(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlag,
    mode: Mode,
) -> Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .mode(mode)
        .resolve(resolve);
    openat2(dir, name, how)
}

/// `lstat` of `name` in `dir`.
pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<FileStat> {
    fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
}

/// `stat` of what `fd` stands for.
pub(super) fn stat_of(fd: impl AsFd) -> Result<FileStat> {
    fstat(fd)
}

/// The name under which `/proc` shows a descriptor of this process: how an `O_PATH` descriptor is
/// opened, or used where the system call wants a path.
pub(super) fn descriptor_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens what an `O_PATH` descriptor stands for.
pub(super) fn reopen(fd: BorrowedFd<'_>, flags: OFlag) -> Result<File> {
    let path = descriptor_path(fd);
    nix::fcntl::open(path.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty()).map(File::from)
}

/// What kind of thing a mode says that it is.
pub(super) fn file_type(mode: u32) -> FileType {
    match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFDIR => FileType::Directory,
        SFlag::S_IFLNK => FileType::Symlink,
        SFlag::S_IFIFO => FileType::NamedPipe,
        SFlag::S_IFSOCK => FileType::Socket,
        SFlag::S_IFCHR => FileType::CharDevice,
        SFlag::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// The record's word for it.
pub(super) fn recorded_kind(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::NamedPipe | FileType::Socket | FileType::CharDevice | FileType::BlockDevice => {
            FileKind::Other
        }
    }
}

/// The attributes as the kernel wants them, under the inode number `id`.
pub(super) fn attributes(id: u64, stat: &FileStat) -> FileAttr {
    FileAttr {
        ino: INodeNo(id),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: file_type(stat.st_mode),
        perm: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: u32::try_from(stat.st_rdev).unwrap_or(0),
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4096),
        flags: 0,
    }
}

fn time(seconds: i64, nanoseconds: i64) -> SystemTime {
    let fraction = Duration::from_nanos(nanoseconds.unsigned_abs());
    if seconds >= 0 {
        UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()) + fraction
    } else {
        UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()) + fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_keeps_its_fraction() {
        let at = time(-2, 800_000_000);
        assert_eq!(UNIX_EPOCH.duration_since(at).unwrap(), Duration::from_millis(1200));
    }

    #[test]
    fn a_symlink_is_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let opened = open_at(root.as_fd(), OsStr::new("link"), OFlag::O_RDONLY);
        assert_eq!(opened.unwrap_err(), Errno::ELOOP);
        assert_eq!(
            open_at(root.as_fd(), OsStr::new("../x"), OFlag::O_RDONLY).unwrap_err(),
            Errno::EXDEV
        );
        let stat = stat_at(root.as_fd(), OsStr::new("link")).unwrap();
        assert_eq!(file_type(stat.st_mode), FileType::Symlink);
    }
}
