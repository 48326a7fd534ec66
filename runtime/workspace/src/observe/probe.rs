//! What this machine offers a workspace: each thing is tried, in a mount namespace that ends with the attempt.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;

use super::group::{Group, readable_directory};
use crate::content::open_beneath;
use custody_model::WorkspacePath;

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What.
    pub name: &'static str,
    /// Whether it is there.
    pub found: bool,
    /// What that means for sessions, and the kernel's answer where it isn't there.
    pub meaning: String,
}

/// Tries what workspaces need. Takes some milliseconds; leaves nothing behind.
#[must_use]
pub fn probe() -> Vec<Probe> {
    // A mount namespace belongs to a thread, and ends with it.
    std::thread::scope(|scope| scope.spawn(try_all).join()).unwrap_or_default()
}

struct Meaning {
    name: &'static str,
    yes: &'static str,
    no: &'static str,
}

const OPENAT2: Meaning = Meaning {
    name: "openat2",
    yes: "files of the workspace are read without following links",
    no: "Linux 5.6 is needed: no session can run",
};
const OVERLAY: Meaning = Meaning {
    name: "overlay",
    yes: "each session gets its own writable layer over a shared checkout",
    no: "no session can run: overlayfs with index and nfs_export is needed, and root",
};
const FANOTIFY: Meaning = Meaning {
    name: "fanotify_filesystem",
    yes: "the observed mode works: every access is seen at native speed",
    no: "only the strict mode works: the guard mediates everything, slower, with the same record",
};
const FUSE: Meaning = Meaning {
    name: "fuse",
    yes: "guarded paths and the strict mode work",
    no: "policies with guarded paths and the strict mode can't be enforced",
};

impl Meaning {
    fn told(&self, answer: Result<(), Errno>) -> Probe {
        let meaning = match answer {
            Ok(()) => self.yes.to_owned(),
            Err(errno) => format!("{} ({errno})", self.no),
        };
        Probe { name: self.name, found: answer.is_ok(), meaning }
    }
}

fn try_all() -> Vec<Probe> {
    let mut probes = vec![OPENAT2.told(openat2()), FUSE.told(fuse())];
    let overlay = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| overlay());
    let (overlay, fanotify) = match overlay {
        Ok(fanotify) => (Ok(()), fanotify),
        Err(errno) => (Err(errno), Err(errno)),
    };
    probes.push(OVERLAY.told(overlay));
    probes.push(FANOTIFY.told(fanotify));
    probes
}

fn openat2() -> Result<(), Errno> {
    let root = open("/", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    open_beneath(root.as_fd(), &WorkspacePath::root(), flags).map(drop)
}

fn fuse() -> Result<(), Errno> {
    open("/dev/fuse", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).map(drop)
}

/// Whether an overlay can be mounted, and then whether it can be watched.
fn overlay() -> Result<Result<(), Errno>, Errno> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let directory = tempfile::tempdir().map_err(errno)?;
    let path: &Path = directory.path();
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), none)?;
    let layer = |name: &str| path.join(name).display().to_string();
    for name in ["lower", "upper", "work", "view"] {
        fs::create_dir(layer(name)).map_err(errno)?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={},index=on,nfs_export=on,redirect_dir=on",
        layer("lower"),
        layer("upper"),
        layer("work")
    );
    let view = layer("view");
    let attached = mount(
        Some("overlay"),
        view.as_str(),
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    );
    let watched = attached.map(|()| {
        let root = open(view.as_str(), OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty())?;
        Group::watch(readable_directory(root.as_fd())?.as_fd()).map(drop)
    });
    // Without this the directory couldn't be removed; the namespace would end the mounts anyhow.
    let _ = nix::mount::umount2(path, nix::mount::MntFlags::MNT_DETACH);
    watched
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
