//! A path, walked as the kernel walks it for another process: from its root, its working directory or a descriptor of it,
//! through its mounts and its links. `openat2` can't do that: to it the directory that a walk starts from is either the
//! root as well, or has nothing to do with it.
//!
//! Everything is opened with `O_PATH`: nothing waits, nothing is read, nothing is changed.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// Most symbolic links on one way (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Most components on one way, those of its links included.
const MAX_STEPS: usize = 8192;

/// Inode of a procfs's root (`PROC_ROOT_INO`).
const PROC_ROOT: u64 = 1;

/// Where a walk is.
pub(super) struct Spot {
    fd: OwnedFd,
    /// The mount, as `/proc/PID/mountinfo` numbers it.
    pub(super) mount: u64,
    device: (u32, u32),
    inode: u64,
    kind: SFlag,
    /// Type and permission bits.
    pub(super) mode: u32,
}

impl Spot {
    /// # Errors
    /// The kernel does not tell of which mount it is.
    pub(super) fn of(fd: OwnedFd) -> nix::Result<Self> {
        let mut found = MaybeUninit::<libc::statx>::zeroed();
        let wanted = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_INO | libc::STATX_MNT_ID;
        // The file system is not asked: the guard is one, and serves the caller meanwhile.
        let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
        // SAFETY: the path is an empty string that ends with NUL; `found` is a statx that outlives the call.
        let done =
            unsafe { libc::statx(fd.as_raw_fd(), c"".as_ptr(), flags, wanted, found.as_mut_ptr()) };
        Errno::result(done)?;
        // SAFETY: all zeroes is a value of this plain struct, and the kernel has filled it in.
        let found = unsafe { found.assume_init() };
        if found.stx_mask & libc::STATX_MNT_ID == 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(Self {
            fd,
            mount: found.stx_mnt_id,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            mode: found.stx_mode.into(),
            kind: SFlag::from_bits_truncate(found.stx_mode.into()) & SFlag::S_IFMT,
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == SFlag::S_IFDIR
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Device and inode.
    pub(super) fn identity(&self) -> ((u32, u32), u64) {
        (self.device, self.inode)
    }

    /// Its path in the mounts that it is of.
    pub(super) fn path(&self) -> Option<Vec<u8>> {
        path_of(self.as_fd())
    }

    fn is(&self, other: &Self) -> bool {
        (self.mount, self.device, self.inode) == (other.mount, other.device, other.inode)
    }

    fn beside(&self) -> Option<Self> {
        Self::of(self.fd.try_clone().ok()?).ok()
    }
}

impl AsFd for Spot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The end of a path whose last component is not walked.
pub(super) enum Last {
    /// A name, and whether a slash follows.
    Name { name: Vec<u8>, slash: bool },
    /// `.`
    Dot,
    /// `..`, and what that is.
    DotDot(Spot),
}

/// A directory, and what a path names in it.
pub(super) struct Parent {
    pub(super) at: Spot,
    pub(super) last: Last,
}

/// Walks for one thread.
pub(super) struct Walk<'a> {
    tid: u32,
    root: Spot,
    /// Whether a name may be looked up in a directory: the guard would record that as an attempt.
    may_look: &'a dyn Fn(&Spot) -> bool,
}

impl<'a> Walk<'a> {
    pub(super) fn of(tid: u32, may_look: &'a dyn Fn(&Spot) -> bool) -> Option<Self> {
        let root = opened(&format!("/proc/{tid}/root"))?;
        Some(Self { tid, root, may_look })
    }

    /// What a path names, by its directory and last component. What can't be walked is nothing.
    pub(super) fn parent(&self, directory: Option<i32>, path: &[u8]) -> Option<Parent> {
        let end = trimmed(path).len();
        let slash = end < path.len();
        let cut = path[..end].iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        let (way, last) = (&path[..cut], &path[cut..end]);
        if last.is_empty() {
            return None;
        }
        let at = self.walk(directory, path.starts_with(b"/"), way, true)?;
        if !at.is_directory() {
            return None;
        }
        let last = match last {
            b"." => Last::Dot,
            b".." => Last::DotDot(self.up(&at)?),
            name => Last::Name { name: name.to_vec(), slash },
        };
        Some(Parent { at, last })
    }

    /// What a path leads to; a link at its end is followed if the caller asks for that or a slash follows.
    pub(super) fn object(&self, directory: Option<i32>, path: &[u8], follow: bool) -> Option<Spot> {
        if path.is_empty() {
            return None;
        }
        let slash = path.ends_with(b"/");
        let found = self.walk(directory, path.starts_with(b"/"), path, follow || slash)?;
        (!slash || found.is_directory()).then_some(found)
    }

    /// What a descriptor of the caller is open on.
    pub(super) fn descriptor(&self, fd: i32) -> Option<Spot> {
        opened(&format!("/proc/{}/fd/{fd}", self.tid))
    }

    /// What stands at a name; a link is not followed.
    pub(super) fn look(&self, at: &Spot, name: &[u8]) -> Option<Spot> {
        if !at.is_directory() || !(self.may_look)(at) {
            return None;
        }
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Spot::of(openat(at, name, flags, Mode::empty()).ok()?).ok()
    }

    fn walk(
        &self,
        directory: Option<i32>,
        absolute: bool,
        path: &[u8],
        follow: bool,
    ) -> Option<Spot> {
        let mut at = match directory {
            _ if absolute => self.root.beside()?,
            Some(fd) => self.descriptor(fd)?,
            None => opened(&format!("/proc/{}/cwd", self.tid))?,
        };
        let mut way = Way::default();
        way.push(path);
        while let Some(name) = way.next() {
            if !at.is_directory() || way.steps > MAX_STEPS {
                return None;
            }
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    at = self.up(&at)?;
                    continue;
                }
                _ => {}
            }
            let next = self.look(&at, &name)?;
            if next.kind != SFlag::S_IFLNK || (way.is_empty() && !follow) {
                at = next;
                continue;
            }
            way.links += 1;
            if way.links > MAX_LINKS {
                return None;
            }
            match self.link(&at, &name, &next)? {
                Link::Magic(there) => at = there,
                Link::Text(text) => {
                    if text.starts_with(b"/") {
                        at = self.root.beside()?;
                    }
                    way.push(&text);
                }
            }
        }
        Some(at)
    }

    fn up(&self, at: &Spot) -> Option<Spot> {
        if at.is(&self.root) {
            return at.beside();
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Spot::of(openat(at, "..", flags, Mode::empty()).ok()?).ok()
    }

    fn link(&self, at: &Spot, name: &[u8], link: &Spot) -> Option<Link> {
        if fstatfs(at).ok()?.filesystem_type() == PROC_SUPER_MAGIC {
            // To us they would be other processes.
            if at.inode == PROC_ROOT && matches!(name, b"self" | b"thread-self") {
                return self.own(name == b"self").map(Link::Text);
            }
            let how =
                |resolve| OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(resolve);
            // Links of /proc that lead to something open, whatever their text says.
            let plain = openat2(at, name, how(ResolveFlag::RESOLVE_NO_MAGICLINKS));
            if plain.err() == Some(Errno::ELOOP) {
                let there = openat2(at, name, how(ResolveFlag::empty())).ok()?;
                return Spot::of(there).ok().map(Link::Magic);
            }
        }
        let text = readlinkat(link, c"").ok()?.into_vec();
        (!text.is_empty()).then_some(Link::Text(text))
    }

    /// The caller's own directory in its `/proc`.
    fn own(&self, process: bool) -> Option<Vec<u8>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.tid)).ok()?;
        let innermost = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().last()
        };
        let process_id = innermost("NStgid:")?;
        if process {
            return Some(process_id.into());
        }
        Some(format!("{process_id}/task/{}", innermost("NSpid:")?).into())
    }
}

enum Link {
    Text(Vec<u8>),
    Magic(Spot),
}

/// The components that are still to be walked, the next one at the end.
#[derive(Default)]
struct Way {
    left: Vec<Vec<u8>>,
    links: usize,
    steps: usize,
}

impl Way {
    fn push(&mut self, path: &[u8]) {
        let parts = path.rsplit(|b| *b == b'/').filter(|part| !part.is_empty());
        self.left.extend(parts.map(<[u8]>::to_vec));
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        self.steps += 1;
        self.left.pop()
    }

    fn is_empty(&self) -> bool {
        self.left.is_empty()
    }
}

/// The path of what is open, in the mounts that it is of.
pub(super) fn path_of(fd: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    Some(link.into_os_string().into_vec())
}

/// Opens a link of our own `/proc`; what it leads to may be no directory.
fn opened(path: &str) -> Option<Spot> {
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
    Spot::of(file.into()).ok()
}

/// Without slashes at the end.
pub(super) fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    &path[..end]
}
