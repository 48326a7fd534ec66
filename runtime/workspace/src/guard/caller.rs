//! Who asks, and how a server thread makes files in that name.

use std::cell::Cell;

use fuser::Request;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::backing::Result;

/// Capabilities stay in effect when a thread's file system ids change (`linux/securebits.h`).
const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;

/// The process behind a request, as the kernel names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// The thread's id in the keeper's pid namespace; 0 if it has none there.
    pub(super) pid: u32,
    uid: u32,
    gid: u32,
}

thread_local! {
    static PREPARED: Cell<bool> = const { Cell::new(false) };
}

impl Caller {
    pub(super) fn of(request: &Request) -> Self {
        Self { pid: request.pid(), uid: request.uid(), gid: request.gid() }
    }

    /// Whether the kernel would let it keep set-user-id bits on what it writes.
    pub(super) fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Runs `make` with the caller's file system ids, so that what it creates is the caller's, as
    /// in a directory with or without set-group-id. The kernel has checked the permissions already
    /// (`default_permissions`), with groups that are not known here: capabilities stay on.
    pub(super) fn create<T>(self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        prepare()?;
        let gid = setfsgid(Gid::from_raw(self.gid));
        let uid = setfsuid(Uid::from_raw(self.uid));
        let made = make();
        setfsuid(uid);
        setfsgid(gid);
        made
    }
}

/// Gives this server thread a umask of its own (the kernel has applied the caller's already) and
/// lets it change its file system ids without losing capabilities.
fn prepare() -> Result<()> {
    if PREPARED.get() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_FS)?;
    umask(Mode::empty());
    // SAFETY: prctl with PR_GET_SECUREBITS takes no pointer.
    let bits = unsafe { libc::prctl(libc::PR_GET_SECUREBITS) };
    let bits = libc::c_ulong::try_from(Errno::result(bits)?).map_err(|_| Errno::EINVAL)?;
    // SAFETY: prctl with PR_SET_SECUREBITS takes a number; it changes this thread alone.
    let set = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) };
    Errno::result(set)?;
    PREPARED.set(true);
    Ok(())
}
