//! The seccomp listener's ioctls (`seccomp_unotify(2)`), and its notifications as calls with names.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use custody_record::event::Operation;
use nix::errno::Errno;

/// Linux 6.6: the answer wakes the caller on this processor. Absent from libc 0.2.
const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: libc::c_ulong = 1;

/// The listener's descriptor.
#[derive(Debug)]
pub(super) struct SeccompListener(OwnedFd);

/// A call that waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Notification {
    /// Names it in the answer.
    pub(super) id: u64,
    /// The thread that waits.
    pub(super) tid: u32,
    /// What it asks for.
    pub(super) call: Call,
}

/// The calls that init's filter sends here.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Exec(Exec),
    Connect(Connect),
    Send(Send),
    Name(Name),
    Unknown(i32),
}

/// Addresses are those of the caller's memory.
#[derive(Clone, Debug)]
pub(super) struct Exec {
    /// `execveat` with a descriptor of a directory or file.
    pub(super) directory: Option<i32>,
    pub(super) path: u64,
    pub(super) argv: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Connect {
    pub(super) fd: i32,
    pub(super) address: u64,
    pub(super) length: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Send {
    To { fd: i32, address: u64, length: u32, flags: i32 },
    Message { fd: i32, header: u64, flags: i32 },
    Messages { fd: i32, headers: u64, count: u32, flags: i32 },
}

/// A removal, a rename or a hard link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    Remove {
        operation: Operation,
        at: Place,
    },
    Rename {
        from: Place,
        to: Place,
        replace: Replace,
    },
    Link {
        from: Place,
        to: Place,
        /// A symbolic link at the end of `from` is followed.
        follow: bool,
        /// An empty `from` means its descriptor.
        empty: bool,
    },
}

/// What a rename does with what stands at the new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    May,
    Never,
    Exchange,
}

/// A path in the caller's memory, and the directory that it starts from; its working directory without one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) directory: Option<i32>,
    pub(super) path: u64,
}

/// What receiving gave.
pub(super) enum Received {
    Notification(Notification),
    /// The caller was killed before it was received.
    Gone,
}

/// The answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The kernel does it.
    Continue,
    /// It has been done: the call returns 0.
    Done,
    /// It is refused.
    Errno(Errno),
    /// A signal waits for the caller: the kernel begins the call again, or lets it fail with EINTR, as it does by itself.
    Signalled,
}

/// `ERESTARTSYS` of Linux (include/linux/errno.h), which no program ever sees: the kernel replaces it when it delivers
/// the signal that waits.
const RESTART: i32 = 512;

impl SeccompListener {
    pub(super) fn new(fd: OwnedFd) -> Self {
        // SAFETY: the ioctl takes the flags by value and touches no memory.
        let set = unsafe {
            libc::ioctl(
                fd.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP,
            )
        };
        if set != 0 {
            tracing::debug!(errno = %Errno::last(), "no synchronous wake-up of notices");
        }
        Self(fd)
    }

    /// The next notification; waits for it.
    pub(super) fn receive(&self) -> io::Result<Received> {
        // SAFETY: all zeroes is a value of this plain struct; the kernel asks for zeroes.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: `raw` is a seccomp_notif that outlives the call, as this ioctl wants it.
        let done = unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw)
        };
        if done != 0 {
            return match Errno::last() {
                Errno::ENOENT | Errno::EINTR => Ok(Received::Gone),
                errno => Err(errno.into()),
            };
        }
        Ok(Received::Notification(Notification { id: raw.id, tid: raw.pid, call: Call::of(&raw) }))
    }

    /// The caller still waits, so its pid is still its own.
    pub(super) fn alive(&self, id: u64) -> bool {
        // SAFETY: the ioctl reads one u64, which outlives the call.
        unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) == 0
        }
    }

    /// Answers; a caller that is gone meanwhile is no error.
    pub(super) fn reply(&self, id: u64, reply: Reply) -> io::Result<()> {
        let (error, flags) = match reply {
            Reply::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Reply::Done => (0, 0),
            Reply::Errno(errno) => (-(errno as i32), 0),
            Reply::Signalled => (-RESTART, 0),
        };
        let response = libc::seccomp_notif_resp { id, val: 0, error, flags };
        loop {
            // SAFETY: `response` is a seccomp_notif_resp that outlives the call, as this ioctl wants it.
            let done = unsafe {
                libc::ioctl(self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response)
            };
            if done == 0 {
                return Ok(());
            }
            match Errno::last() {
                Errno::EINTR => {}
                Errno::ENOENT => return Ok(()),
                errno => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for SeccompListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Call {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the kernel takes these arguments as 32-bit integers too"
    )]
    fn of(raw: &libc::seccomp_notif) -> Self {
        let [a, b, c, d, e, f] = raw.data.args;
        let here = |path| Place { directory: None, path };
        let at = |fd: u64, path| {
            let fd = fd as i32;
            Place { directory: (fd != libc::AT_FDCWD).then_some(fd), path }
        };
        let removed = |operation, at| Self::Name(Name::Remove { operation, at });
        let renamed = |from, to, replace| Self::Name(Name::Rename { from, to, replace });
        let linked = |from, to, flags: libc::c_int| {
            let follow = flags & libc::AT_SYMLINK_FOLLOW != 0;
            Self::Name(Name::Link { from, to, follow, empty: flags & libc::AT_EMPTY_PATH != 0 })
        };
        match libc::c_long::from(raw.data.nr) {
            libc::SYS_execve => Self::Exec(Exec { directory: None, path: a, argv: b }),
            libc::SYS_execveat => {
                let fd = a as i32;
                let directory = (fd != libc::AT_FDCWD).then_some(fd);
                Self::Exec(Exec { directory, path: b, argv: c })
            }
            libc::SYS_connect => {
                Self::Connect(Connect { fd: a as i32, address: b, length: c as u32 })
            }
            libc::SYS_sendto => {
                Self::Send(Send::To { fd: a as i32, address: e, length: f as u32, flags: d as i32 })
            }
            libc::SYS_sendmsg => {
                Self::Send(Send::Message { fd: a as i32, header: b, flags: c as i32 })
            }
            libc::SYS_sendmmsg => Self::Send(Send::Messages {
                fd: a as i32,
                headers: b,
                count: c as u32,
                flags: d as i32,
            }),
            libc::SYS_rename => renamed(here(a), here(b), Replace::May),
            libc::SYS_renameat => renamed(at(a, b), at(c, d), Replace::May),
            libc::SYS_renameat2 => {
                let replace = match e as u32 {
                    flags if flags & libc::RENAME_NOREPLACE != 0 => Replace::Never,
                    flags if flags & libc::RENAME_EXCHANGE != 0 => Replace::Exchange,
                    _ => Replace::May,
                };
                renamed(at(a, b), at(c, d), replace)
            }
            libc::SYS_link => linked(here(a), here(b), 0),
            libc::SYS_linkat => linked(at(a, b), at(c, d), e as libc::c_int),
            libc::SYS_unlink => removed(Operation::Unlink, here(a)),
            libc::SYS_rmdir => removed(Operation::Rmdir, here(a)),
            libc::SYS_unlinkat if c as i32 & libc::AT_REMOVEDIR != 0 => {
                removed(Operation::Rmdir, at(a, b))
            }
            libc::SYS_unlinkat => removed(Operation::Unlink, at(a, b)),
            _ => Self::Unknown(raw.data.nr),
        }
    }
}
