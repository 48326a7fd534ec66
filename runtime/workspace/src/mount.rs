//! Linux's mount calls by file descriptor (fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2)), which
//! `nix` lacks. Kernel 6.7 or newer for `lowerdir+`, 6.15 or newer to clone a detached mount.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest string that fsconfig(2) takes; a longer path is handed over as a descriptor.
const MAX_CONFIG_STRING: usize = 255;

/// Why a mount failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The file system could not be made.
    #[error("{what} failed{}", said(.log))]
    Create {
        /// The call and its object.
        what: String,
        /// What the kernel said besides.
        log: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A mount could not be cloned: the kernel is older than 6.15, or rights are missing.
    #[error("the mount can't be cloned (detached mounts can be from Linux 6.15 on)")]
    Clone(#[source] io::Error),
    /// It could not be attached or detached.
    #[error("{action} {target} failed")]
    Attach {
        /// What was done.
        action: &'static str,
        /// Where.
        target: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn said(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" ({log})") }
}

/// `-1` is an error in `errno`.
fn checked(answer: libc::c_long) -> io::Result<RawFd> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(answer).map_err(io::Error::other)
    }
}

fn owned(answer: libc::c_long) -> io::Result<OwnedFd> {
    let fd = checked(answer)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Mounts a new file system, attached nowhere, `nosuid` and `nodev`. Options are paths first, then words.
pub(crate) fn detached(
    kind: &CStr,
    paths: &[(&CStr, &Path)],
    words: &[(&CStr, &CStr)],
) -> Result<OwnedFd, MountError> {
    // SAFETY: `kind` ends with NUL and outlives the call.
    let context = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), libc::FSOPEN_CLOEXEC) };
    let context = owned(context).map_err(|source| MountError::Create {
        what: format!("fsopen {}", kind.to_string_lossy()),
        log: String::new(),
        source,
    })?;
    let failed = |what: &CStr, source| MountError::Create {
        what: format!("mounting {}: {}", kind.to_string_lossy(), what.to_string_lossy()),
        log: kernel_log(context.as_fd()),
        source,
    };
    for (key, path) in paths {
        set_path(context.as_fd(), key, path).map_err(|source| failed(key, source))?;
    }
    for (key, word) in words {
        set_string(context.as_fd(), key, word).map_err(|source| failed(key, source))?;
    }
    // SAFETY: a command without key and value.
    let created = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            libc::FSCONFIG_CMD_CREATE,
            std::ptr::null::<libc::c_char>(),
            std::ptr::null::<libc::c_char>(),
            0,
        )
    };
    checked(created).map_err(|source| failed(c"create", source))?;
    let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    // SAFETY: no pointers.
    let mount = unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), libc::FSMOUNT_CLOEXEC, attributes)
    };
    owned(mount).map_err(|source| failed(c"fsmount", source))
}

fn set_string(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> io::Result<()> {
    // SAFETY: both strings end with NUL and outlive the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            libc::FSCONFIG_SET_STRING,
            key.as_ptr(),
            value.as_ptr(),
            0,
        )
    };
    checked(answer).map(drop)
}

fn set_path(context: BorrowedFd<'_>, key: &CStr, path: &Path) -> io::Result<()> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= MAX_CONFIG_STRING {
        return set_string(context, key, &CString::new(bytes)?);
    }
    let directory = open_path(path)?;
    // SAFETY: the key ends with NUL and outlives the call; the descriptor is open during it.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            libc::FSCONFIG_SET_FD,
            key.as_ptr(),
            std::ptr::null::<libc::c_char>(),
            directory.as_raw_fd(),
        )
    };
    checked(answer).map(drop)
}

/// What the kernel says about a failed configuration.
fn kernel_log(context: BorrowedFd<'_>) -> String {
    let mut buffer = [0; 1024];
    let mut lines = Vec::new();
    while let Ok(count @ 1..) = nix::unistd::read(context, &mut buffer) {
        lines.push(String::from_utf8_lossy(&buffer[..count]).trim().to_owned());
    }
    lines.join("; ")
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?)
}

/// The root directory of a mount, open for reading.
pub(crate) fn open_directory(mount: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::openat(mount, ".", flags, nix::sys::stat::Mode::empty())?)
}

/// A detached clone of the one mount behind `root`, without what is mounted on it.
pub(crate) fn clone_of(root: BorrowedFd<'_>) -> Result<OwnedFd, MountError> {
    open_tree(root, OsStr::new("")).map_err(MountError::Clone)
}

/// A detached clone of the part of a mount that begins at `relative`, below `root`.
pub(crate) fn clone_below(root: BorrowedFd<'_>, relative: &OsStr) -> io::Result<OwnedFd> {
    // A path that leads over a link or out of the mount is not the one that was meant.
    let found = beneath(root, relative, libc::O_PATH)?;
    open_tree(found.as_fd(), OsStr::new(""))
}

fn open_tree(root: BorrowedFd<'_>, relative: &OsStr) -> io::Result<OwnedFd> {
    let path = CString::new(relative.as_bytes())?;
    let at_flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | at_flags.cast_unsigned();
    // SAFETY: the path ends with NUL and outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, root.as_raw_fd(), path.as_ptr(), flags) })
}

/// Opens `relative` below `root` without following any link and without leaving that mount.
pub(crate) fn beneath(
    root: BorrowedFd<'_>,
    relative: &OsStr,
    flags: libc::c_int,
) -> io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag};
    let how = OpenHow::new()
        .flags(OFlag::from_bits_retain(flags | libc::O_CLOEXEC | libc::O_NOFOLLOW))
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    let relative = if relative.is_empty() { OsStr::new(".") } else { relative };
    Ok(nix::fcntl::openat2(root, relative, how)?)
}

/// Attaches a detached mount at `target`.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: &Path) -> Result<(), MountError> {
    let failed =
        |source| MountError::Attach { action: "mounting at", target: target.to_owned(), source };
    let place = open_path(target).map_err(failed)?;
    attach_at(mount, place.as_fd()).map_err(failed)
}

/// Attaches a detached mount on the open directory or file `place`.
pub(crate) fn attach_at(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are empty strings that end with NUL; both descriptors are open during the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            place.as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    checked(answer).map(drop)
}

/// Takes away whatever is mounted at `target`, and all that is mounted below it.
pub(crate) fn detach(target: &Path) -> Result<(), MountError> {
    nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH).map_err(|errno| {
        MountError::Attach { action: "unmounting", target: target.to_owned(), source: errno.into() }
    })
}
