//! Who process 1 becomes: the agent's ids in a user namespace of its own, with no privilege and no way to one.

use std::fs;
use std::io::{self, Write};

use custody_sandbox::Identity;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::step::{During, Failure};

/// `KEYCTL_JOIN_SESSION_KEYRING` of keyctl(2).
const JOIN_SESSION_KEYRING: libc::c_int = 1;
/// The capability header of capset(2), version 3: two words each of effective, permitted, inheritable.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The highest signal number of Linux.
const LAST_SIGNAL: libc::c_int = 64;

/// The file that says how many user namespaces may be made below the one of the process that opens it. Held open
/// as a directory from before `/proc/sys` is closed.
#[derive(Debug)]
pub(crate) struct NestingLimit(fs::File);

impl NestingLimit {
    /// Finds the directory; the file in it is opened in the new user namespace, whose limit it then is.
    pub(crate) fn find() -> Result<Self, Failure> {
        fs::File::open("/proc/sys/user").map(Self).during(|| "open /proc/sys/user".to_owned())
    }

    /// Forbids any user namespace below this one.
    pub(crate) fn forbid(self) -> Result<(), Failure> {
        use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
        // SAFETY: the name is NUL-terminated and the directory open; the kernel returns a new descriptor.
        let fd = unsafe {
            libc::openat(
                self.0.as_raw_fd(),
                c"max_user_namespaces".as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
            )
        };
        let opened = if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) };
        opened
            .and_then(|fd| {
                // SAFETY: the kernel just returned this descriptor and nothing else owns it.
                let owned = unsafe { OwnedFd::from_raw_fd(fd) };
                fs::File::from(owned).write_all(b"0")
            })
            .during(|| "forbid nested user namespaces".to_owned())
    }
}

/// The process is killed when the launcher, its parent, ends. A change of ids undoes it, so it is called again.
pub(crate) fn die_with_parent() -> Result<(), Failure> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
        .during(|| "tie process 1 to its launcher".to_owned())
}

/// Gives every signal its default and blocks none: both are inherited through execve(2).
///
/// By the system call itself, because the C library keeps two of the signals to itself and whoever started the
/// keeper may have set even those.
pub(crate) fn reset_signals() -> Result<(), Failure> {
    // What the kernel takes for an action: handler, flags, restorer, mask; all zero is the default.
    let default = [0_u64; 4];
    for number in 1..=LAST_SIGNAL {
        if matches!(number, libc::SIGKILL | libc::SIGSTOP) {
            continue;
        }
        // SAFETY: the kernel reads an action of that form, which outlives the call, and stores none.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error()).during(|| format!("reset signal {number}"));
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
        .during(|| "unblock the signals".to_owned())
}

/// Enters a cgroup namespace whose root is the cgroup that the process is in by now.
pub(crate) fn enter_cgroup_namespace() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWCGROUP).during(|| "enter a cgroup namespace".to_owned())
}

/// Enters a user namespace. It comes last: every other namespace belongs to the host's, so that even all
/// capabilities in this one would give no power over mounts, network or host name.
pub(crate) fn enter_user_namespace() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWUSER).during(|| "enter a user namespace".to_owned())
}

/// Writes the id maps of a process that has just entered a user namespace.
pub(crate) fn write_maps(pid: u32, identity: Identity) -> Result<(), Failure> {
    let line = format!("0 {} {}", identity.uid_base, Identity::RANGE);
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{map}"), &line).during(|| format!("write the {map}"))?;
    }
    Ok(())
}

/// Becomes the agent, for good: ids, groups, capabilities, no_new_privs, keyring, core dumps.
pub(crate) fn become_agent(identity: Identity) -> Result<(), Failure> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    setgroups(&[]).during(|| "drop the groups".to_owned())?;
    setresgid(gid, gid, gid).during(|| "take the agent's group".to_owned())?;
    drop_bounding_set()?;
    setresuid(uid, uid, uid).during(|| "take the agent's user".to_owned())?;
    drop_capabilities()?;
    nix::sys::prctl::set_no_new_privs().during(|| "set no_new_privs".to_owned())?;
    // SAFETY: the arguments are numbers and a null pointer, which asks for an anonymous keyring.
    let ring = unsafe {
        libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    // A kernel without keyrings has none to leak.
    if ring < 0 && io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
        return Err(io::Error::last_os_error()).during(|| "take a keyring of its own".to_owned());
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: setrlimit reads one rlimit, which outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } < 0 {
        return Err(io::Error::last_os_error()).during(|| "forbid core dumps".to_owned());
    }
    Ok(())
}

fn drop_bounding_set() -> Result<(), Failure> {
    let last: libc::c_ulong = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .map_err(|error| error.to_string())
        .and_then(|text| text.trim().parse().map_err(|error| format!("{text:?}: {error}")))
        .during(|| "find the last capability".to_owned())?;
    for capability in 0..=last {
        // SAFETY: the arguments are numbers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } < 0 {
            return Err(io::Error::last_os_error())
                .during(|| format!("drop capability {capability} from the bounding set"));
        }
    }
    Ok(())
}

fn drop_capabilities() -> Result<(), Failure> {
    // SAFETY: the arguments are numbers.
    let ambient =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    if ambient < 0 {
        return Err(io::Error::last_os_error()).during(|| "clear the ambient set".to_owned());
    }
    let header: [u32; 2] = [CAPABILITY_VERSION_3, 0];
    let sets = [0_u32; 6];
    // SAFETY: capset reads a header of two words and six words of sets, as version 3 has them.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error()).during(|| "drop the capabilities".to_owned());
    }
    Ok(())
}
