//! Mounting a FUSE file system without a helper program, and ending it for good.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::data::MAX_TRANSFER_BYTES;

/// The kernel's end of a FUSE connection (`Documentation/filesystems/fuse.rst`).
const DEVICE: &str = "/dev/fuse";

/// Opens the device.
pub(super) fn open_device() -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC).open(DEVICE)
}

/// Mounts the file system that `device` will serve at the directory `target`. Everybody may use it,
/// with the permissions that its files have; set-id bits and devices have no effect on it.
pub(super) fn mount_at(device: &File, source: &str, target: &Path) -> Result<(), Errno> {
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read={}",
        device.as_raw_fd(),
        MAX_TRANSFER_BYTES,
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(source), target, Some("fuse.custody"), flags, Some(options.as_str()))
}

/// Ends the connection, whoever still uses the file system and wherever else it is mounted: all
/// requests fail from now on with `ENOTCONN`. Then takes the mount away.
pub(super) fn end(target: &Path) -> Result<(), Errno> {
    umount2(target, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH)
}

/// The same directory without anything that is or will be mounted below it: the guard must never
/// walk into its own mount. What is a private mount already and can't be cloned is taken as it is
/// (before Linux 6.15 a detached mount can't).
pub(super) fn alone(directory: OwnedFd) -> OwnedFd {
    let flags = libc::OPEN_TREE_CLONE
        | libc::OPEN_TREE_CLOEXEC
        | libc::c_uint::try_from(libc::AT_EMPTY_PATH).unwrap_or(0);
    // SAFETY: the descriptor is open and the path is an empty C string.
    let cloned = unsafe {
        libc::syscall(libc::SYS_open_tree, directory.as_fd().as_raw_fd(), c"".as_ptr(), flags)
    };
    match Errno::result(cloned).map(i32::try_from) {
        // SAFETY: the kernel just made this descriptor, and nobody else has it.
        Ok(Ok(fd)) => unsafe { OwnedFd::from_raw_fd(fd) },
        Ok(Err(_)) | Err(_) => directory,
    }
}
