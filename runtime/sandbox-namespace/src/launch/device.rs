//! `/dev` and `/proc` as the sandbox sees them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use custody_sandbox::Identity;
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::mount::{READ_ONLY, Tree, mount_new, read_only_in_place, restrict};
use super::step::{During, Failure};

/// Major and minor numbers of the character devices: those that the kernel's documentation of devices lists under
/// memory devices (1) and alternate terminals (5).
const CHARACTER: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The group that owns terminals inside: `tty`.
const TTY_GROUP: u32 = 5;

/// What of `/proc` tells about the machine or changes it, hidden behind `/dev/null`.
const MASKED_FILES: [&str; 9] = [
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/sysrq-trigger",
    "/proc/timer_list",
];

/// Directories of `/proc` that are hidden behind an empty one.
const MASKED_DIRECTORIES: [&str; 4] = ["/proc/acpi", "/proc/asound", "/proc/driver", "/proc/scsi"];

/// Directories of `/proc` that can be read only.
const READ_ONLY_DIRECTORIES: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/tty"];

/// Fills `/dev`, which is a directory of the new root.
pub(crate) fn make_dev(identity: Identity) -> Result<(), Failure> {
    let dev = Path::new("/dev");
    mount_new(
        "tmpfs",
        dev,
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        "mode=0755,size=64k,nr_inodes=64",
    )?;
    for (name, major, minor) in CHARACTER {
        let path = dev.join(name);
        mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(major, minor))
            .during(|| format!("make {}", path.display()))?;
        // Set by chmod, because the mode of mknod(2) is subject to the umask.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))
            .during(|| format!("open {}", path.display()))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, dev.join(name)).during(|| format!("link /dev/{name}"))?;
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).during(|| format!("make /dev/{name}"))?;
    }
    mount_new(
        "devpts",
        &dev.join("pts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        &format!("newinstance,ptmxmode=0666,mode=0620,gid={}", identity.uid_base + TTY_GROUP),
    )
}

/// Closes `/dev` for changes; the devices stay usable.
pub(crate) fn close_dev() -> Result<(), Failure> {
    restrict(Path::new("/dev"), libc::MOUNT_ATTR_RDONLY).during(|| "make /dev read-only".to_owned())
}

/// Mounts the `/proc` of this pid namespace.
pub(crate) fn mount_proc() -> Result<(), Failure> {
    mount_new(
        "proc",
        Path::new("/proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        "",
    )
}

/// Hides and closes what of `/proc` is not the sandbox's own.
pub(crate) fn mask_proc() -> Result<(), Failure> {
    for path in READ_ONLY_DIRECTORIES {
        read_only_in_place(Path::new(path))?;
    }
    for path in MASKED_FILES {
        if Path::new(path).exists() {
            Tree::clone_of(Path::new("/dev/null"), libc::MOUNT_ATTR_NOEXEC)
                .and_then(|null| null.attach(Path::new(path)))
                .during(|| format!("hide {path}"))?;
        }
    }
    for path in MASKED_DIRECTORIES {
        if Path::new(path).is_dir() {
            // The root's own empty directory, so that no new file system is needed.
            Tree::clone_of(Path::new("/mnt"), READ_ONLY)
                .and_then(|empty| empty.attach(Path::new(path)))
                .during(|| format!("hide {path}"))?;
        }
    }
    Ok(())
}
