//! What this machine offers a keeper, found out by trying. For `custody doctor`.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use custody_model::{SystemClock, Timestamp};
use custody_policy::PathRules;
use custody_record::{Body, SinkError};
use custody_workspace::AccessSink;
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::guard::{Guard, GuardConfig, GuardLimits, GuardMode};

use crate::run::private_mounts;

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its stable name.
    pub name: &'static str,
    /// Sessions can run with it as it is.
    pub usable: bool,
    /// What was found, in words.
    pub found: String,
    /// What that means, in words.
    pub means: &'static str,
}

/// Looks at this machine. Nothing of it stays.
#[must_use]
pub fn probe() -> Vec<Probe> {
    vec![kernel(), seccomp(), landlock(), connector(), passthrough()]
}

fn kernel() -> Probe {
    /// First release that can clone a mount that is attached nowhere.
    const NEEDED: (u32, u32) = (6, 15);
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Probe {
        name: "kernel",
        usable: version >= NEEDED,
        found: format!("Linux {release}"),
        means: "Linux 6.15 or later is needed: the workspace is mounted where nobody else sees it",
    }
}

fn seccomp() -> Probe {
    let action: u32 = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: the kernel reads one u32, which lives through the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    Probe {
        name: "seccomp_notification",
        usable: answer == 0,
        found: there(answer == 0),
        means: "every exec and every connection is told before it happens",
    }
}

fn landlock() -> Probe {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel takes no pointer and no size.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION)
    };
    Probe {
        name: "landlock",
        usable: abi > 0,
        found: if abi > 0 { format!("version {abi}") } else { "not there".to_owned() },
        means: "a second wall around the files that a sandbox may write",
    }
}

fn connector() -> Probe {
    let bound = bind_connector();
    let usable = bound.is_ok();
    Probe {
        name: "process_connector",
        usable,
        found: bound.map_or_else(|error| format!("not there: {error}"), |()| "there".to_owned()),
        means: "processes that live for a millisecond are joined with their parents, and exit codes are known",
    }
}

fn bind_connector() -> std::io::Result<()> {
    /// `CN_IDX_PROC` of linux/connector.h as a multicast group.
    const PROCESSES: u32 = 1;
    // SAFETY: the call takes numbers.
    let raw = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_DGRAM | libc::SOCK_CLOEXEC,
            libc::NETLINK_CONNECTOR,
        )
    };
    if raw < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made just now and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeros are a valid sockaddr_nl.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).unwrap_or_default();
    address.nl_groups = PROCESSES;
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or_default();
    // SAFETY: the kernel reads `length` bytes, the size of `address`.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Records nothing: the probe opens no file.
struct Nowhere;

impl AccessSink for Nowhere {
    fn access(&self, _: Timestamp, _: u32, _: Body) -> Result<(), SinkError> {
        Ok(())
    }
}

fn passthrough() -> Probe {
    // In a thread, so that its mount namespace ends with it.
    let tried = std::thread::spawn(try_passthrough).join();
    let found = match tried {
        Ok(Ok(true)) => "there".to_owned(),
        Ok(Ok(false)) => "not there".to_owned(),
        Ok(Err(error)) => format!("not there: {error}"),
        Err(_) => "not there: the attempt failed".to_owned(),
    };
    Probe {
        name: "fuse_passthrough",
        // Without it the guard moves the data itself; the record is the same.
        usable: true,
        found,
        means: "guarded files are read and written at native speed; without it more slowly",
    }
}

fn try_passthrough() -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    private_mounts()?;
    let (backing, target) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let root = std::fs::File::open(backing.path())?;
    let contents = Contents::new(
        root.try_clone()?.into(),
        GitHash::Sha1,
        std::iter::empty(),
        HashLimits::default(),
    );
    let guard = Guard::mount(
        GuardConfig {
            backing: root.into(),
            rules: PathRules::default(),
            mode: GuardMode::Strict,
            contents: Arc::new(contents),
            sink: Arc::new(Nowhere),
            clock: Arc::new(SystemClock),
            passthrough: true,
            threads: 1,
            scan_links: false,
            limits: GuardLimits::default(),
        },
        target.path(),
    )?;
    let there = guard.passthrough();
    guard.unmount()?;
    Ok(there)
}

fn there(yes: bool) -> String {
    if yes { "there".to_owned() } else { "not there".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_probe_has_a_name_of_its_own_and_says_what_it_means() {
        let probes = probe();
        let names: std::collections::BTreeSet<&str> = probes.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), probes.len());
        assert!(probes.iter().all(|p| !p.found.is_empty() && !p.means.is_empty()));
    }
}
