//! The mount calls: detached trees that are cloned from the host first and attached inside the new root later.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags};

use super::step::{During, Failure};

/// Read-only, no set-user-id, no devices.
pub(crate) const READ_ONLY: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
/// Writable, no set-user-id, no devices.
pub(crate) const WRITABLE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

const AT_RECURSIVE: libc::c_int = 0x8000;
const OPEN_TREE_CLONE: libc::c_int = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;

/// A tree of mounts that is attached nowhere.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// Clones what is mounted at and below `path`, private, with these attributes everywhere.
    ///
    /// # Errors
    /// Those of open_tree(2) and mount_setattr(2).
    pub(crate) fn clone_of(path: &Path, attributes: u64) -> io::Result<Self> {
        let name = c_path(path)?;
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC | AT_RECURSIVE;
        // SAFETY: open_tree reads a NUL-terminated path that outlives the call, and returns a new descriptor.
        let fd =
            unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), flags) };
        let fd = i32::try_from(check(fd)?).map_err(io::Error::other)?;
        // SAFETY: the kernel just returned this descriptor and nothing else owns it.
        let tree = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        set_attributes(tree.0.as_raw_fd(), c"", AT_RECURSIVE | libc::AT_EMPTY_PATH, attributes)?;
        Ok(tree)
    }

    /// Attaches it at `target`.
    ///
    /// # Errors
    /// Those of move_mount(2).
    pub(crate) fn attach(self, target: &Path) -> io::Result<()> {
        let target = c_path(target)?;
        // SAFETY: both paths are NUL-terminated and outlive the call; the descriptor is ours.
        let result = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        };
        check(result).map(drop)
    }
}

/// Gives the one mount at `path` these attributes, and takes none away.
///
/// # Errors
/// Those of mount_setattr(2).
pub(crate) fn restrict(path: &Path, attributes: u64) -> io::Result<()> {
    set_attributes(libc::AT_FDCWD, &c_path(path)?, 0, attributes)
}

/// Covers `path` with a read-only view of itself, if it is there.
pub(crate) fn read_only_in_place(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Tree::clone_of(path, READ_ONLY | libc::MOUNT_ATTR_NOEXEC)
        .and_then(|tree| tree.attach(path))
        .during(|| format!("make {} read-only", path.display()))
}

/// Mounts a new file system.
pub(crate) fn mount_new(
    kind: &str,
    target: &Path,
    flags: MsFlags,
    options: &str,
) -> Result<(), Failure> {
    nix::mount::mount(Some(kind), target, Some(kind), flags, Some(options))
        .during(|| format!("mount {kind} at {}", target.display()))
}

/// Makes every mount private: what is mounted here reaches nobody else, and the other way round.
pub(crate) fn make_private() -> Result<(), Failure> {
    nix::mount::mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .during(|| "make the mounts private".to_owned())
}

/// Makes a new tmpfs the root and lets go of everything that was mounted before.
///
/// It is mounted over `/tmp` for a moment, because that directory is there on every machine.
pub(crate) fn enter_new_root(options: &str) -> Result<(), Failure> {
    let place = Path::new("/tmp");
    mount_new("tmpfs", place, MsFlags::MS_NOSUID | MsFlags::MS_NODEV, options)?;
    nix::unistd::chdir(place).during(|| "enter the new root".to_owned())?;
    // With both arguments alike the old root comes to lie on top of the new one: see pivot_root(2).
    nix::unistd::pivot_root(".", ".").during(|| "pivot into the new root".to_owned())?;
    nix::mount::umount2(".", MntFlags::MNT_DETACH)
        .during(|| "let go of the old root".to_owned())?;
    nix::unistd::chdir("/").during(|| "stand in the new root".to_owned())
}

/// Takes away the mount at `path`; what was cloned from it stays.
pub(crate) fn detach(path: &Path) -> Result<(), Failure> {
    nix::mount::umount2(path, MntFlags::MNT_DETACH).during(|| format!("detach {}", path.display()))
}

fn set_attributes(
    at: libc::c_int,
    path: &std::ffi::CStr,
    flags: libc::c_int,
    attributes: u64,
) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: 0,
    };
    // SAFETY: the path and the structure outlive the call, and the size is that of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<libc::mount_attr>(),
        )
    };
    check(result).map(drop)
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
