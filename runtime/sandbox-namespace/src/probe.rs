//! What this machine offers to the driver, for `custody doctor`.

use std::fs;
use std::io;

use crate::cgroup::{Controller, Hierarchies, Mode};

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its stable name.
    pub name: &'static str,
    /// What was found, in words.
    pub found: String,
    /// What that means for sessions, in words.
    pub means: String,
    /// Sandboxes can be made with it as it is.
    pub usable: bool,
}

/// Looks at this machine. It changes nothing.
#[must_use]
pub fn probe() -> Vec<Probe> {
    let mut probes =
        vec![privilege(), user_namespaces(), mount_calls(), process_handles(), overlay()];
    match Hierarchies::detect() {
        Ok(hierarchies) => {
            probes.push(mode(&hierarchies));
            for controller in
                [Controller::Memory, Controller::Processes, Controller::Cpu, Controller::Freezer]
            {
                probes.push(limit(&hierarchies, controller));
            }
        }
        Err(error) => probes.push(Probe {
            name: "cgroups",
            found: format!("can't be read: {error}"),
            means: "limits can't be enforced: policies with limits are refused".to_owned(),
            usable: false,
        }),
    }
    probes
}

fn privilege() -> Probe {
    let root = nix::unistd::geteuid().is_root();
    // One line that maps everything onto itself is what the machine's own user namespace has.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let own = map.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"];
    Probe {
        name: "privilege",
        found: match (root, own) {
            (true, true) => "root in the machine's own user namespace",
            (true, false) => "root in a user namespace",
            (false, _) => "not root",
        }
        .to_owned(),
        means: if root && own {
            "the namespace driver works"
        } else {
            "the namespace driver can't work: run the keeper as root"
        }
        .to_owned(),
        usable: root && own,
    }
}

fn user_namespaces() -> Probe {
    let limit = fs::read_to_string("/proc/sys/user/max_user_namespaces");
    let usable = limit.as_ref().is_ok_and(|text| text.trim() != "0");
    Probe {
        name: "user_namespaces",
        found: match limit {
            Ok(text) => format!("at most {}", text.trim()),
            Err(error) => format!("none: {error}"),
        },
        means: if usable {
            "the agent's ids are its own, and no root of the machine is inside"
        } else {
            "no sandbox can be made: raise user.max_user_namespaces"
        }
        .to_owned(),
        usable,
    }
}

fn mount_calls() -> Probe {
    // SAFETY: a null structure of size 0 is refused with EINVAL where the call exists.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, -1, c"".as_ptr(), 0, std::ptr::null::<u8>(), 0)
    };
    let there = result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS);
    Probe {
        name: "mount_setattr",
        found: presence(there),
        means: if there {
            "the root is made of recursive read-only views"
        } else {
            "no sandbox can be made: Linux 5.12 or newer is needed"
        }
        .to_owned(),
        usable: there,
    }
}

fn process_handles() -> Probe {
    // SAFETY: opens a handle on this very process; the arguments are numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    if let Ok(fd @ 0..) = i32::try_from(fd) {
        // SAFETY: the descriptor was just returned, and nobody else has it.
        unsafe { libc::close(fd) };
    }
    Probe {
        name: "pidfd",
        found: presence(fd >= 0),
        means: if fd >= 0 {
            "a process is killed by handle, never by a number that may be another's"
        } else {
            "no sandbox can be made: Linux 5.3 or newer is needed"
        }
        .to_owned(),
        usable: fd >= 0,
    }
}

fn overlay() -> Probe {
    let there = fs::read_to_string("/proc/filesystems").is_ok_and(|text| {
        text.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay")
    });
    Probe {
        name: "overlayfs",
        found: presence(there),
        means: if there {
            "a session's workspace costs nothing but its changes"
        } else {
            "no workspace can be mounted: load the module overlay"
        }
        .to_owned(),
        usable: there,
    }
}

fn mode(hierarchies: &Hierarchies) -> Probe {
    let (found, means) = match hierarchies.mode() {
        Mode::Absent => {
            ("none mounted", "no limit can be enforced: policies with limits are refused")
        }
        Mode::V1 => ("version 1", "limits work; the process tree is killed by its pid namespace"),
        Mode::V2 => ("version 2", "limits, freezing and killing by group work"),
        Mode::Hybrid => ("hybrid", "each controller is used where it is"),
    };
    Probe {
        name: "cgroups",
        found: found.to_owned(),
        means: means.to_owned(),
        usable: hierarchies.mode() != Mode::Absent,
    }
}

fn limit(hierarchies: &Hierarchies, controller: Controller) -> Probe {
    let (name, purpose) = match controller {
        Controller::Memory => ("cgroup_memory", "memory limits"),
        Controller::Processes => ("cgroup_pids", "limits on processes"),
        Controller::Cpu => ("cgroup_cpu", "limits on processor time"),
        Controller::CpuTime => ("cgroup_cpuacct", "figures of processor time"),
        Controller::Freezer => ("cgroup_freezer", "pausing, and waiting for the recorder"),
    };
    let there = hierarchies.has(controller);
    let means = if there { format!("{purpose}: enforced") } else { format!("{purpose}: refused") };
    Probe { name, found: presence(there), means, usable: there }
}

fn presence(there: bool) -> String {
    if there { "there" } else { "not there" }.to_owned()
}
