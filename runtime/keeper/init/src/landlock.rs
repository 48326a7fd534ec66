//! Landlock (`landlock(7)`): a second wall that stays when a mount is not what it should be.
//!
//! By system calls, because three of them and two structs are all there is, and init carries no more than it needs.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use custody_init::protocol::{Landlock, Step};
use nix::errno::Errno;

use crate::failure::{Failure, Try};

/// `LANDLOCK_CREATE_RULESET_VERSION`: asks for the interface's version.
const VERSION: libc::c_uint = 1;
const RULE_PATH_BENEATH: libc::c_uint = 1;

// Rights of linux/landlock.h, in the order in which versions brought them.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// All of version 1: the four above, removing and making of every kind.
const V1: u64 = (1 << 13) - 1;
/// Version 2: linking and renaming between directories.
const REFER: u64 = 1 << 13;
/// Version 3.
const TRUNCATE: u64 = 1 << 14;
/// Version 5: ioctl on devices.
const IOCTL_DEV: u64 = 1 << 15;
/// Rights that a file (not a directory) can have.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
/// Version 6: no abstract Unix sockets of, and no signals to, processes without this wall.
const SCOPES: u64 = 0b11;

#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// Puts the wall around this process and its children to come; says how it took. A kernel without Landlock is told,
/// not refused: the mounts are the first wall. `no_new_privs` must be set.
pub(crate) fn restrict(rules: &Landlock) -> Result<String, Failure> {
    // SAFETY: without a struct and with this flag, only integers are taken.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION)
    };
    if version < 1 {
        return Ok(format!("absent: {}", Errno::last().desc()));
    }
    let mut handled = V1;
    if version >= 2 {
        handled |= REFER;
    }
    if version >= 3 {
        handled |= TRUNCATE;
    }
    if version >= 5 {
        handled |= IOCTL_DEV;
    }
    let attr = RulesetAttr {
        handled_access_fs: handled,
        handled_access_net: 0,
        scoped: if version >= 6 { SCOPES } else { 0 },
    };
    // Older kernels know a shorter struct.
    let size = match version {
        1..=3 => 8,
        4..=5 => 16,
        _ => size_of::<RulesetAttr>(),
    };
    // SAFETY: the kernel reads `size` bytes of `attr`, which has at least as many.
    let raw = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size, 0 as libc::c_uint)
    };
    let raw = Errno::result(raw).or_fail(Step::Landlock, "landlock_create_ruleset")?;
    // SAFETY: the kernel has just made this descriptor, which fits an int; nobody else owns it.
    let ruleset = unsafe { OwnedFd::from_raw_fd(raw as libc::c_int) };

    let mut absent = Vec::new();
    let lists = [(&rules.read_only, READ & handled), (&rules.read_write, handled)];
    for (paths, access) in lists {
        for path in paths {
            if !allow(&ruleset, path, access)? {
                absent.push(path.as_str());
            }
        }
    }
    // SAFETY: integers only.
    let done = unsafe {
        libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0 as libc::c_uint)
    };
    Errno::result(done).or_fail(Step::Landlock, "landlock_restrict_self")?;
    let mut told = format!("version {version}, writable: {}", rules.read_write.join(" "));
    if !absent.is_empty() {
        told.push_str(&format!(" (not there: {})", absent.join(" ")));
    }
    Ok(told)
}

/// False if there is no such path.
fn allow(ruleset: &OwnedFd, path: &str, access: u64) -> Result<bool, Failure> {
    let opened = File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
        Err(error) => return Err(error).or_fail(Step::Landlock, path),
    };
    let directory = file.metadata().or_fail(Step::Landlock, path)?.is_dir();
    let attr = PathBeneathAttr {
        allowed_access: if directory { access } else { access & OF_FILES },
        parent_fd: file.as_raw_fd(),
    };
    // SAFETY: the kernel reads one landlock_path_beneath_attr, which outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const attr,
            0 as libc::c_uint,
        )
    };
    Errno::result(done).or_fail(Step::Landlock, path)?;
    Ok(true)
}
