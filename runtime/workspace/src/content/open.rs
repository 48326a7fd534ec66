//! Opening files of the clean view while the agent may swap what they are: nothing is followed, nothing leaves the
//! view, nothing waits.

use std::fmt::Write as _;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use custody_model::WorkspacePath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// How often a look-up is repeated that raced with a rename (`openat2` says `EAGAIN` then).
const MAX_ATTEMPTS: u32 = 16;

/// Opens `path` below `root` with `flags`. Neither a symbolic link nor a magic link nor `..` is followed anywhere in
/// it. `O_NOFOLLOW`, `O_CLOEXEC`, `O_NOCTTY` and `O_NONBLOCK` are added; the last one so that a fifo does not block.
///
/// # Errors
/// Those of `openat2`; `ELOOP` for a symbolic link.
pub fn open_beneath(
    root: BorrowedFd<'_>,
    path: &WorkspacePath,
    flags: OFlag,
) -> Result<OwnedFd, Errno> {
    let always = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let more = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    // With O_PATH every other flag is refused by openat2.
    let flags = if flags.contains(OFlag::O_PATH) { flags | always } else { flags | always | more };
    let how = OpenHow::new().flags(flags).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    let name = if path.is_root() { ".".as_ref() } else { path.as_path() };
    let mut attempts = 0;
    loop {
        attempts += 1;
        match openat2(root, name, how) {
            Err(Errno::EAGAIN | Errno::EINTR) if attempts < MAX_ATTEMPTS => {}
            other => return other,
        }
    }
}

/// A descriptor of what stands at `path` below `root`, whatever it is: it can be looked at and reopened, not read.
///
/// # Errors
/// Those of `openat2`.
pub fn path_beneath(root: BorrowedFd<'_>, path: &WorkspacePath) -> Result<OwnedFd, Errno> {
    // RESOLVE_NO_SYMLINKS refuses a link at the end as well, so links are reached through their directory.
    match open_beneath(root, path, OFlag::O_PATH) {
        Err(Errno::ELOOP) => {
            let (Some(parent), Some(name)) = (path.parent(), path.as_path().file_name()) else {
                return Err(Errno::ELOOP);
            };
            let parent = open_beneath(root, &parent, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            nix::fcntl::openat(parent, name, flags, Mode::empty())
        }
        other => other,
    }
}

/// Opens a file for reading that is open in any way, also with `O_PATH`. The caller has checked that it is a regular
/// file: what a descriptor refers to can't be swapped.
///
/// # Errors
/// Those of `open`; `ENOENT` if `/proc` isn't mounted.
pub fn reopen_for_reading(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut link = String::with_capacity(24);
    write!(link, "/proc/self/fd/{}", file.as_raw_fd()).map_err(|_| Errno::EINVAL)?;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(link.as_str(), flags | OFlag::O_NOATIME, Mode::empty())
        .or_else(|_| open(link.as_str(), flags, Mode::empty()))
}
