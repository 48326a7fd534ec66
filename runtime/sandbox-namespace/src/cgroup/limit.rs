//! The limits of a group, in the words of each version (the kernel's documents cgroup-v1 and cgroup-v2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use custody_sandbox::SandboxError;

use super::hierarchy::{Controller, Home};

/// The period over which processor time is limited, in microseconds.
const CPU_PERIOD_MICROS: u64 = 100_000;

/// Why a controller of version 2 can't be handed down to a group's children.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be used: {source}", .control.display())]
pub(super) struct NotDelegated {
    control: PathBuf,
    source: io::Error,
}

impl NotDelegated {
    /// What to do about it.
    pub(super) fn advice(&self) -> String {
        match self.source.raw_os_error() {
            // A group that hands controllers down may hold no process itself, but for the root of all.
            Some(libc::EBUSY) => "Move the processes of that control group into one below it (in a container: run \
                                  it with the machine's own control groups)"
                .to_owned(),
            Some(libc::EROFS | libc::EACCES | libc::EPERM) => {
                "Give Custody control groups that it may write (in a container: mount them read-write)".to_owned()
            }
            Some(_) | None => {
                "Look whether this control group's controllers may be handed down".to_owned()
            }
        }
    }
}

/// Lets the children of the parent group use a controller of version 2.
pub(super) fn delegate(
    mount: &Path,
    parent: &str,
    controller: Controller,
) -> Result<(), NotDelegated> {
    if matches!(controller, Controller::CpuTime | Controller::Freezer) {
        return Ok(());
    }
    for level in [mount.to_owned(), mount.join(parent)] {
        let control = level.join("cgroup.subtree_control");
        let failed = |source| NotDelegated { control: control.clone(), source };
        let has = fs::read_to_string(&control)
            .map_err(failed)?
            .split_ascii_whitespace()
            .any(|name| name == controller.name());
        if !has {
            fs::write(&control, format!("+{}", controller.name())).map_err(failed)?;
        }
    }
    Ok(())
}

/// Writes a limit and fails if the kernel does not take it.
pub(super) fn set_limit(
    home: &Home,
    controller: Controller,
    limit: u64,
) -> Result<(), SandboxError> {
    let write = |path: PathBuf, value: String| {
        fs::write(&path, &value).map_err(|error| SandboxError::Unavailable {
            what: format!("the limit {} of {limit}", controller.name()),
            reason: format!("{value:?} could not be written to {}: {error}", path.display()),
            advice: "Look whether a limit of an enclosing group forbids it".to_owned(),
        })
    };
    let quota = (limit * CPU_PERIOD_MICROS / 1_000).max(1_000);
    match (home, controller) {
        (Home::V2(path), Controller::Memory) => {
            write(path.join("memory.max"), limit.to_string())?;
            // Absent where the kernel has no swap.
            let swap = path.join("memory.swap.max");
            if swap.exists() { write(swap, "0".to_owned()) } else { Ok(()) }
        }
        (Home::V1(path), Controller::Memory) => {
            write(path.join("memory.limit_in_bytes"), limit.to_string())?;
            let swap = path.join("memory.memsw.limit_in_bytes");
            if swap.exists() { write(swap, limit.to_string()) } else { Ok(()) }
        }
        (Home::V2(path) | Home::V1(path), Controller::Processes) => {
            write(path.join("pids.max"), limit.to_string())
        }
        (Home::V2(path), Controller::Cpu) => {
            write(path.join("cpu.max"), format!("{quota} {CPU_PERIOD_MICROS}"))
        }
        (Home::V1(path), Controller::Cpu) => {
            write(path.join("cpu.cfs_period_us"), CPU_PERIOD_MICROS.to_string())?;
            write(path.join("cpu.cfs_quota_us"), quota.to_string())
        }
        (Home::V2(_) | Home::V1(_), Controller::CpuTime | Controller::Freezer) => Ok(()),
    }
}

/// For people.
pub(super) const fn version(home: &Home) -> &'static str {
    match home {
        Home::V1(_) => "control group version 1",
        Home::V2(_) => "control group version 2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_advice() {
        let advice = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            NotDelegated { control: "/sys/fs/cgroup/cgroup.subtree_control".into(), source }
                .advice()
        };
        assert!(advice(libc::EBUSY).contains("processes"));
        assert!(advice(libc::EROFS).contains("may write"));
        assert!(advice(libc::EINVAL).contains("handed down"));
    }
}
