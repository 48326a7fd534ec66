//! The fanotify group on the superblock of a session's overlay, and the file handles that it speaks of.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, readlink};
use nix::sys::stat::{FileStat, fstat};

use super::notice::MAX_HANDLE_BYTES;

/// What is watched. `CLOSE_NOWRITE` costs no event of its own (it merges) and tells reads that merge with a write.
const MASK: u64 = libc::FAN_OPEN
    | libc::FAN_OPEN_EXEC
    | libc::FAN_CLOSE_WRITE
    | libc::FAN_CLOSE_NOWRITE
    | libc::FAN_MODIFY
    | libc::FAN_CREATE
    | libc::FAN_DELETE
    | libc::FAN_RENAME
    | libc::FAN_ATTRIB
    | libc::FAN_ONDIR;

/// Bytes that `FIONREAD` counts for each event, however long it is.
const COUNTED_BYTES: u64 = 24;

// `_IOR`-less number of asm-generic/ioctls.h.
nix::ioctl_read_bad!(fionread, libc::FIONREAD, libc::c_int);

/// A group that gets every event of one superblock.
#[derive(Debug)]
pub(super) struct Group(OwnedFd);

impl Group {
    /// Watches the superblock of `mount`, through whatever mount it is reached.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `EOPNOTSUPP` if the overlay lacks
    /// `index=on,nfs_export=on`; `EINVAL` before Linux 5.17.
    pub(super) fn watch(mount: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_DFID_NAME_TARGET
            | libc::FAN_NONBLOCK
            | libc::FAN_CLOEXEC;
        // The event descriptors' flags: there are none with FAN_REPORT_FID.
        let event_flags = (libc::O_RDONLY | libc::O_CLOEXEC).cast_unsigned();
        // SAFETY: a plain system call without pointers.
        let group = Errno::result(unsafe { libc::fanotify_init(flags, event_flags) })?;
        // SAFETY: the kernel just made this descriptor and nothing else owns it.
        let group = Self(unsafe { OwnedFd::from_raw_fd(group) });
        let how = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        // SAFETY: both descriptors are open, the path is a C string that outlives the call.
        Errno::result(unsafe {
            libc::fanotify_mark(group.0.as_raw_fd(), how, MASK, mount.as_raw_fd(), c".".as_ptr())
        })?;
        Ok(group)
    }

    /// Appends what is waiting to `buffer`, at most `room` bytes. 0 if nothing waits.
    ///
    /// # Errors
    /// Those of `read`, but `EAGAIN` and `EINTR`.
    pub(super) fn read(&self, buffer: &mut Vec<u8>, room: usize) -> Result<usize, Errno> {
        let start = buffer.len();
        buffer.resize(start + room, 0);
        let read = loop {
            match nix::unistd::read(&self.0, &mut buffer[start..]) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break Ok(0),
                other => break other,
            }
        };
        buffer.truncate(start + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Events that wait in the kernel.
    ///
    /// # Errors
    /// Those of `ioctl`.
    pub(super) fn waiting(&self) -> Result<u64, Errno> {
        let mut bytes = 0;
        // SAFETY: the descriptor is open and `bytes` is the int that FIONREAD writes.
        unsafe { fionread(self.0.as_raw_fd(), &raw mut bytes) }?;
        Ok(u64::try_from(bytes).unwrap_or(0).div_ceil(COUNTED_BYTES))
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// An aligned `struct file_handle`.
#[repr(C, align(8))]
struct Handle([u8; 8 + MAX_HANDLE_BYTES]);

/// Opens (`O_PATH`) the object of a `struct file_handle` of the superblock that `mount` belongs to, whatever its name
/// is now.
///
/// # Errors
/// `ESTALE` if it is gone; else those of `open_by_handle_at`.
pub(super) fn open_handle(mount: BorrowedFd<'_>, handle: &[u8]) -> Result<OwnedFd, Errno> {
    let mut aligned = Handle([0; 8 + MAX_HANDLE_BYTES]);
    aligned.0.get_mut(..handle.len()).ok_or(Errno::EINVAL)?.copy_from_slice(handle);
    let pointer = (&raw mut aligned).cast::<libc::file_handle>();
    let flags = libc::O_PATH | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: `pointer` is to an initialised, aligned buffer of the largest handle's size, so the kernel finds as many
    // bytes as the handle's own length says (it refuses more than 128).
    let fd = Errno::result(unsafe { libc::open_by_handle_at(mount.as_raw_fd(), pointer, flags) })?;
    // SAFETY: the kernel just made this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The `struct file_handle` of an open file, as the events on it spell it.
///
/// # Errors
/// Those of `name_to_handle_at`.
pub(super) fn handle_of(file: BorrowedFd<'_>) -> Result<Box<[u8]>, Errno> {
    let mut aligned = Handle([0; 8 + MAX_HANDLE_BYTES]);
    let room = u32::try_from(MAX_HANDLE_BYTES).map_err(|_| Errno::EOVERFLOW)?;
    aligned.0[..4].copy_from_slice(&room.to_ne_bytes());
    let pointer = (&raw mut aligned).cast::<libc::file_handle>();
    let mut mount_id = 0;
    // SAFETY: `pointer` is to an aligned buffer with as much room as its first field says; the path is a C string.
    Errno::result(unsafe {
        libc::name_to_handle_at(
            file.as_raw_fd(),
            c"".as_ptr(),
            pointer,
            &raw mut mount_id,
            libc::AT_EMPTY_PATH,
        )
    })?;
    let length = u32::from_ne_bytes([aligned.0[0], aligned.0[1], aligned.0[2], aligned.0[3]]);
    let end = 8 + length as usize;
    Ok(aligned.0.get(..end).ok_or(Errno::EOVERFLOW)?.into())
}

/// Where an open file stands below `root`, as the kernel's cache of names says; `None` if it isn't there.
pub(super) fn path_below(root: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let link = |fd: BorrowedFd<'_>| -> Option<Vec<u8>> {
        let link = readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str()).ok()?;
        Some(link.into_vec())
    };
    // The view may be attached somewhere or moved meanwhile: its root's own place is the prefix.
    let (root, file) = (link(root)?, link(file)?);
    let root = root.strip_suffix(b"/").unwrap_or(&root);
    let rest = file.strip_prefix(root)?;
    match rest {
        [] => Some(Vec::new()),
        [b'/', rest @ ..] => Some(rest.to_vec()),
        _ => None,
    }
}

/// Opens the directory that `fd` refers to (it may be `O_PATH`, as `fsmount` makes them) so that handles can be opened
/// by it.
///
/// # Errors
/// Those of `openat`.
pub(super) fn readable_directory(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::openat(fd, ".", flags, nix::sys::stat::Mode::empty())
}

/// `fstat`, if the descriptor is of a regular file that still has a name.
pub(super) fn stat(file: BorrowedFd<'_>) -> Option<FileStat> {
    fstat(file).ok()
}
