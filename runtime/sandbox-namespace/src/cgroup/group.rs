//! The control groups of one session: made with its limits, frozen, read, killed, removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use custody_model::{Limits, SessionId};
use custody_sandbox::{SandboxError, Usage};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::hierarchy::{Controller, Hierarchies, Home};
use super::limit::{delegate, set_limit, version};
use super::usage;

/// How long a freeze or the removal of a group may take.
const SETTLE: Duration = Duration::from_secs(10);
/// How long to wait before a version 1 group is looked at again: it has nothing to wait on.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// One session's groups. They hold no process until one is written to [`Group::procs`].
#[derive(Debug)]
pub(crate) struct Group {
    homes: BTreeMap<Controller, Home>,
    unified: Option<PathBuf>,
    directories: Vec<PathBuf>,
    refused_limits: BTreeMap<String, String>,
}

impl Group {
    /// Makes the groups `<hierarchy>/<parent>/<session>` and sets the limits.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] if a limit is wanted that the machine can't enforce; nothing is left then.
    pub(crate) fn create(
        hierarchies: &Hierarchies,
        parent: &str,
        session: SessionId,
        limits: &Limits,
    ) -> Result<Self, SandboxError> {
        let mut group = Self {
            homes: BTreeMap::new(),
            unified: None,
            directories: Vec::new(),
            refused_limits: BTreeMap::new(),
        };
        let made = group.make(hierarchies, parent, session, limits);
        match made {
            Ok(()) => Ok(group),
            Err(error) => {
                // The first error is the one to tell.
                let _ = group.remove();
                Err(error)
            }
        }
    }

    fn make(
        &mut self,
        hierarchies: &Hierarchies,
        parent: &str,
        session: SessionId,
        limits: &Limits,
    ) -> Result<(), SandboxError> {
        let wanted = [
            (Controller::Memory, "memory_limit", limits.memory_bytes),
            (Controller::Processes, "process_limit", limits.processes.map(u64::from)),
            (Controller::Cpu, "cpu_limit", limits.cpu_millicores.map(u64::from)),
            (Controller::CpuTime, "cpu_time", None),
            (Controller::Freezer, "freezer", None),
        ];
        if let Some(unified) = hierarchies.unified() {
            self.unified = Some(self.directory(unified, parent, session)?);
        }
        for (controller, name, limit) in wanted {
            // An unlimited processor needs no group: each one costs time at the start.
            if controller == Controller::Cpu && limit.is_none() {
                continue;
            }
            let placed = match hierarchies.home(controller) {
                None => Err((
                    format!("no hierarchy has the controller {}", controller.name()),
                    format!(
                        "Enable the control group controller {} on this machine",
                        controller.name()
                    ),
                )),
                Some(Home::V2(mount)) => delegate(&mount, parent, controller)
                    .map(|()| Home::V2(mount.join(parent).join(session.to_string())))
                    .map_err(|error| (error.to_string(), error.advice())),
                Some(Home::V1(mount)) => Ok(Home::V1(self.directory(&mount, parent, session)?)),
            };
            match (placed, limit) {
                (Ok(home), limit) => {
                    if let Some(limit) = limit {
                        set_limit(&home, controller, limit)?;
                    }
                    self.homes.insert(controller, home);
                }
                (Err((reason, _)), None) => {
                    self.refused_limits.insert(name.to_owned(), format!("not there: {reason}"));
                }
                (Err((reason, advice)), Some(_)) => {
                    return Err(SandboxError::Unavailable {
                        what: format!("the limit {name}"),
                        reason,
                        advice: format!("{advice}, or take the limit out of the policy"),
                    });
                }
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        mount: &Path,
        parent: &str,
        session: SessionId,
    ) -> Result<PathBuf, SandboxError> {
        let path = mount.join(parent).join(session.to_string());
        if !self.directories.contains(&path) {
            make(&path)
                .map_err(SandboxError::io(format!("make the control group {}", path.display())))?;
            self.directories.push(path.clone());
        }
        Ok(path)
    }

    /// The groups of a session that somebody else made; for their removal.
    pub(crate) fn left_over(hierarchies: &Hierarchies, parent: &str, session: &str) -> Self {
        let directories: Vec<PathBuf> = hierarchies
            .mounts()
            .into_iter()
            .map(|mount| mount.join(parent).join(session))
            .filter(|path| path.is_dir())
            .collect();
        let mut homes = BTreeMap::new();
        if let Some(Home::V1(mount)) = hierarchies.home(Controller::Freezer) {
            let path = mount.join(parent).join(session);
            // Its removal may have got further there than elsewhere.
            if path.is_dir() {
                homes.insert(Controller::Freezer, Home::V1(path));
            }
        }
        let unified = hierarchies
            .unified()
            .map(|mount| mount.join(parent).join(session))
            .filter(|path| path.is_dir());
        Self { homes, unified, directories, refused_limits: BTreeMap::new() }
    }

    /// The files that a process's pid is written to.
    pub(crate) fn procs(&self) -> Vec<PathBuf> {
        self.directories.iter().map(|path| path.join("cgroup.procs")).collect()
    }

    /// How each limit took.
    pub(crate) fn protections(&self, limits: &Limits) -> BTreeMap<String, String> {
        let mut took = self.refused_limits.clone();
        let figures = [
            (Controller::Memory, "memory_limit", limits.memory_bytes, "bytes"),
            (Controller::Processes, "process_limit", limits.processes.map(u64::from), "processes"),
            (Controller::Cpu, "cpu_limit", limits.cpu_millicores.map(u64::from), "millicores"),
        ];
        for (controller, name, limit, unit) in figures {
            let how = match (self.homes.get(&controller), limit) {
                (Some(home), Some(limit)) => format!("{limit} {unit}, {}", version(home)),
                (Some(_), None) | (None, _) => "not limited".to_owned(),
            };
            took.entry(name.to_owned()).or_insert(how);
        }
        if let Some(home) = self.homes.get(&Controller::Freezer) {
            took.insert("freezer".to_owned(), version(home).to_owned());
        }
        let kill = if self.unified.as_ref().is_some_and(|path| path.join("cgroup.kill").exists()) {
            "pid namespace and cgroup.kill"
        } else {
            "pid namespace"
        };
        took.insert("kill".to_owned(), kill.to_owned());
        took.insert("cgroup_namespace".to_owned(), "own".to_owned());
        took
    }

    /// Stops every process; returns once all stand still.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        match self.homes.get(&Controller::Freezer) {
            Some(Home::V2(path)) => {
                fs::write(path.join("cgroup.freeze"), "1")?;
                wait_for_event(path, "frozen 1")
            }
            Some(Home::V1(path)) => {
                let state = path.join("freezer.state");
                fs::write(&state, "FROZEN")?;
                look_until(|| Ok(fs::read_to_string(&state)?.trim() == "FROZEN"))
            }
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "no freezer on this machine")),
        }
    }

    /// Lets every process go on.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        match self.homes.get(&Controller::Freezer) {
            Some(Home::V2(path)) => {
                fs::write(path.join("cgroup.freeze"), "0")?;
                wait_for_event(path, "frozen 0")
            }
            Some(Home::V1(path)) => fs::write(path.join("freezer.state"), "THAWED"),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "no freezer on this machine")),
        }
    }

    /// What the processes have used.
    pub(crate) fn usage(&self) -> Usage {
        usage::read(&self.homes)
    }

    /// Kills every process in the groups, frozen or not, as far as it is there now.
    pub(crate) fn kill(&self) -> io::Result<()> {
        if let Some(unified) = &self.unified
            && unified.join("cgroup.kill").exists()
        {
            fs::write(unified.join("cgroup.kill"), "1")?;
        } else {
            for procs in self.procs() {
                for pid in fs::read_to_string(procs)?.lines().filter_map(|line| line.parse().ok()) {
                    // A process that is gone by now needs no signal.
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(pid),
                        nix::sys::signal::Signal::SIGKILL,
                    );
                }
            }
        }
        // A signal reaches what a version 1 freezer holds only when it is let go.
        if matches!(self.homes.get(&Controller::Freezer), Some(Home::V1(_))) {
            self.thaw()?;
        }
        Ok(())
    }

    /// Removes the groups; waits a little for processes that are just ending. Groups that are gone are no error.
    pub(crate) fn remove(&mut self) -> Result<(), SandboxError> {
        while let Some(path) = self.directories.last() {
            look_until(|| match fs::remove_dir(path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(false),
                Err(error) => Err(error),
            })
            .map_err(SandboxError::io(format!("remove the control group {}", path.display())))?;
            if let Some(parent) = path.parent() {
                // The last session takes the parent with it; with others in it, it stays.
                let _in_use = fs::remove_dir(parent);
            }
            self.directories.pop();
        }
        Ok(())
    }
}

/// Makes a session's group and its parent, which the end of another session may take away in between.
fn make(path: &Path) -> io::Result<()> {
    /// Sessions that end just then, one after the other.
    const TRIES: usize = 64;
    for _ in 0..TRIES {
        match fs::create_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
    }
    fs::create_dir_all(path)
}

/// Waits until `cgroup.events` has this line; the kernel tells of each change by POLLPRI.
fn wait_for_event(path: &Path, line: &str) -> io::Result<()> {
    let file = path.join("cgroup.events");
    let deadline = Instant::now() + SETTLE;
    loop {
        // Opened before it is read, so that a change in between is told.
        let events = fs::File::open(&file)?;
        if io::read_to_string(&events)?.lines().any(|found| found == line) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{line:?} did not come")));
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout)?;
    }
}

/// Looks again and again, for what the kernel tells nobody about.
fn look_until(mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + SETTLE;
    while !done()? {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not settle"));
        }
        #[expect(clippy::disallowed_methods, reason = "version 1 groups have nothing to wait on")]
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use custody_model::Timestamp;

    use super::*;

    fn session() -> SessionId {
        SessionId::new(Timestamp::from_micros(1_795_461_120_000_000), [7; 10])
    }

    #[test]
    fn a_limit_that_the_machine_can_not_enforce_is_an_error_that_says_what_to_do() {
        let limits = Limits { memory_bytes: Some(1 << 30), ..Limits::default() };
        let none = Hierarchies::default();
        let error = Group::create(&none, "custody", session(), &limits).unwrap_err();
        let SandboxError::Unavailable { what, advice, .. } = error else { panic!("{error}") };
        assert!(what.contains("memory_limit"), "{what}");
        assert!(advice.contains("Enable"), "{advice}");
    }

    #[test]
    fn what_is_not_there_and_not_demanded_is_told() {
        let none = Hierarchies::default();
        let group = Group::create(&none, "custody", session(), &Limits::default()).unwrap();
        let took = group.protections(&Limits::default());
        assert!(took["memory_limit"].starts_with("not there"), "{took:?}");
        assert!(took["freezer"].starts_with("not there"), "{took:?}");
    }

    /// Plain files in place of a version 2 hierarchy: they show what is written, not what the kernel makes of it.
    #[test]
    fn limits_are_written_in_the_words_of_version_2() {
        let mount = tempfile::tempdir().unwrap();
        let parent = mount.path().join("custody");
        fs::create_dir(&parent).unwrap();
        for level in [mount.path(), &parent] {
            fs::write(level.join("cgroup.subtree_control"), "memory pids").unwrap();
        }
        let hierarchies = Hierarchies::version_2(mount.path(), &["cpu", "memory", "pids"]);
        let limits = Limits {
            memory_bytes: Some(1 << 30),
            processes: Some(64),
            cpu_millicores: Some(1_500),
            ..Limits::default()
        };
        let group = Group::create(&hierarchies, "custody", session(), &limits).unwrap();
        let written =
            |name: &str| fs::read_to_string(parent.join(session().to_string()).join(name)).unwrap();
        assert_eq!(written("memory.max"), "1073741824");
        assert_eq!(written("pids.max"), "64");
        assert_eq!(written("cpu.max"), "150000 100000");
        // Only the controller that was not delegated yet is asked for.
        let delegated = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap();
        assert_eq!(delegated, "+cpu");
        assert_eq!(group.procs().len(), 1);
    }

    #[test]
    fn limits_are_written_in_the_words_of_version_1() {
        let mounts = tempfile::tempdir().unwrap();
        let hierarchies = Hierarchies::version_1(mounts.path());
        let at = |controller: &str| {
            mounts.path().join(controller).join("custody").join(session().to_string())
        };
        // Where the kernel counts swap, it is limited too.
        fs::create_dir_all(at("memory")).unwrap();
        fs::write(at("memory").join("memory.memsw.limit_in_bytes"), "").unwrap();
        let limits = Limits {
            memory_bytes: Some(1 << 30),
            processes: Some(64),
            cpu_millicores: Some(1_500),
            ..Limits::default()
        };
        let group = Group::create(&hierarchies, "custody", session(), &limits).unwrap();
        let written =
            |controller: &str, name: &str| fs::read_to_string(at(controller).join(name)).unwrap();
        assert_eq!(written("memory", "memory.limit_in_bytes"), "1073741824");
        assert_eq!(written("memory", "memory.memsw.limit_in_bytes"), "1073741824");
        assert_eq!(written("pids", "pids.max"), "64");
        assert_eq!(written("cpu", "cpu.cfs_period_us"), "100000");
        assert_eq!(written("cpu", "cpu.cfs_quota_us"), "150000");
        assert_eq!(group.procs().len(), 5, "a process is put into each hierarchy");
        let took = group.protections(&limits);
        assert_eq!(took["freezer"], "control group version 1");
        assert_eq!(took["kill"], "pid namespace");
    }

    #[test]
    fn what_is_left_of_a_half_removed_group_can_be_killed_and_removed() {
        let mounts = tempfile::tempdir().unwrap();
        let hierarchies = Hierarchies::version_1(mounts.path());
        let left = mounts.path().join("memory/custody").join("session");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("cgroup.procs"), "").unwrap();
        let group = Group::left_over(&hierarchies, "custody", "session");
        group.kill().unwrap();
        assert_eq!(group.procs(), [left.join("cgroup.procs")]);
    }

    #[test]
    fn a_controller_that_can_not_be_handed_down_says_why_and_what_to_do() {
        let limits = Limits { memory_bytes: Some(1 << 30), ..Limits::default() };
        let mount = tempfile::tempdir().unwrap();
        // A directory: it can't be read as the kernel's file can.
        fs::create_dir(mount.path().join("cgroup.subtree_control")).unwrap();
        let hierarchies = Hierarchies::version_2(mount.path(), &["memory"]);
        let error = Group::create(&hierarchies, "custody", session(), &limits).unwrap_err();
        let SandboxError::Unavailable { what, reason, advice } = error else { panic!("{error}") };
        assert_eq!(what, "the limit memory_limit");
        assert!(reason.contains("cgroup.subtree_control"), "{reason}");
        assert!(advice.contains("or take the limit out"), "{advice}");
        assert!(!mount.path().join("custody").exists(), "nothing is left");
    }
}
