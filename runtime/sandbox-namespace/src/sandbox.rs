//! One sandbox, seen from the keeper: its launcher, its control groups, its life cycle.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use custody_model::Clock;
use custody_model::state::sandbox::{SandboxEnd, SandboxState};
use custody_sandbox::{
    Lifecycle, Observation, Request, Sandbox, SandboxError, SandboxExit, SandboxSpec, Step, Usage,
};
use serde::Serialize;

use crate::cgroup::Group;
use crate::plan::{FromLauncher, Plan, ToLauncher};

/// How long the launcher may take for one step.
const LAUNCHER_DEADLINE: Duration = Duration::from_secs(60);
/// How long the processes may take to be gone after they were killed.
const KILL_DEADLINE: Duration = Duration::from_secs(30);
/// `SIGKILL`, as the end of a process 1 whose launcher was killed.
const KILLED: SandboxEnd = SandboxEnd::Signal(9);

/// A sandbox of the namespace driver.
pub(crate) struct NamespaceSandbox {
    launcher: Launcher,
    group: Group,
    pid: u32,
    life: Lifecycle,
    exit: Option<SandboxExit>,
    protections: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
}

impl NamespaceSandbox {
    /// Starts a launcher and waits until process 1 only has to execute init. Takes `group` down on an error.
    pub(crate) fn provision(
        program: &Path,
        args: &[OsString],
        mut group: Group,
        spec: &SandboxSpec,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SandboxError> {
        let mut life = Lifecycle::new(clock.now());
        let plan = Plan { spec: spec.clone(), cgroup_procs: group.procs() };
        let prepared =
            Launcher::spawn(program, args, &plan).and_then(|mut launcher| {
                match launcher.hear(LAUNCHER_DEADLINE)? {
                    Some(FromLauncher::Prepared { pid, protections }) => {
                        Ok((launcher, pid, protections))
                    }
                    other => Err(unexpected("prepare the sandbox", other)),
                }
            });
        let (launcher, pid, mut protections) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // The first error is the one to tell; what is left is found by remove_leftovers.
                let _ = group.remove();
                return Err(error);
            }
        };
        protections.extend(group.protections(&spec.limits));
        let disk = spec.limits.disk_bytes;
        let how = disk.map_or_else(
            || "/tmp, home, /run: not limited but by memory".to_owned(),
            |bytes| format!("/tmp, home, /run: {bytes} bytes together"),
        );
        protections.insert("disk_limit".to_owned(), how);
        life.observe(Observation::Made, clock.now())?;
        Ok(Self { launcher, group, pid, life, exit: None, protections, clock })
    }

    fn see(&mut self, seen: Observation) -> Result<(), SandboxError> {
        Ok(self.life.observe(seen, self.clock.now())?)
    }

    /// Ends everything, in whatever state it is, and removes the groups.
    fn tear_down(&mut self) -> Result<(), SandboxError> {
        // Process 1 dies with its launcher, and every other process with process 1.
        self.group.kill().map_err(SandboxError::io("kill what runs in the sandbox"))?;
        self.launcher.end().map_err(SandboxError::io("end the sandbox's launcher"))?;
        self.group.remove()
    }
}

impl Sandbox for NamespaceSandbox {
    fn state(&self) -> &SandboxState {
        self.life.state()
    }

    fn protections(&self) -> &BTreeMap<String, String> {
        &self.protections
    }

    fn start(&mut self) -> Result<(), SandboxError> {
        self.life.ask(Request::Start)?;
        let started = self
            .launcher
            .say(&ToLauncher::Start)
            .map_err(SandboxError::io("tell the launcher to start"))
            .and_then(|()| match self.launcher.hear(LAUNCHER_DEADLINE)? {
                Some(FromLauncher::Started) => Ok(()),
                other => Err(unexpected("execute init", other)),
            });
        match started {
            Ok(()) => self.see(Observation::Started),
            Err(error) => {
                self.see(Observation::Failed(error.to_string()))?;
                Err(error)
            }
        }
    }

    fn pid(&self) -> Option<u32> {
        match self.life.state() {
            SandboxState::Running { .. } | SandboxState::Frozen { .. } => Some(self.pid),
            SandboxState::Provisioning { .. }
            | SandboxState::Ready { .. }
            | SandboxState::Exited { .. }
            | SandboxState::Destroyed { .. }
            | SandboxState::Failed { .. } => None,
        }
    }

    fn freeze(&mut self) -> Result<(), SandboxError> {
        self.life.ask(Request::Freeze)?;
        self.group.freeze().map_err(SandboxError::io("freeze the sandbox"))?;
        self.see(Observation::Frozen)
    }

    fn thaw(&mut self) -> Result<(), SandboxError> {
        self.life.ask(Request::Thaw)?;
        self.group.thaw().map_err(SandboxError::io("thaw the sandbox"))?;
        self.see(Observation::Thawed)
    }

    fn usage(&self) -> Result<Usage, SandboxError> {
        Ok(self.group.usage())
    }

    fn kill(&mut self) -> Result<(), SandboxError> {
        match self.life.ask(Request::Kill)? {
            Step::Nothing => Ok(()),
            Step::Do(_) => {
                // The launcher may be gone because process 1 has ended: then there is nothing to kill.
                let _ = self.launcher.say(&ToLauncher::Kill);
                self.group.kill().map_err(SandboxError::io("kill what runs in the sandbox"))
            }
        }
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<SandboxExit>, SandboxError> {
        if let Some(exit) = &self.exit {
            return Ok(Some(exit.clone()));
        }
        // Only what was started can end: any other state says so here.
        if self.pid().is_none() {
            self.life.clone().observe(Observation::Ended(KILLED), self.clock.now())?;
        }
        let exit = match self.launcher.hear(timeout) {
            Ok(Some(FromLauncher::Ended { end, messages })) => SandboxExit { end, messages },
            Err(SandboxError::Io { source, .. }) if is_timeout(&source) => return Ok(None),
            // The launcher is gone, and process 1 with it.
            Ok(None) => SandboxExit {
                end: KILLED,
                messages: "the sandbox's launcher was killed".to_owned(),
            },
            Ok(other) => return Err(unexpected("wait for the end", other)),
            Err(error) => return Err(error),
        };
        self.launcher.end().map_err(SandboxError::io("end the sandbox's launcher"))?;
        self.see(Observation::Ended(exit.end))?;
        self.exit = Some(exit.clone());
        Ok(Some(exit))
    }

    fn destroy(mut self: Box<Self>) -> Result<(), SandboxError> {
        if self.pid().is_some() {
            self.kill()?;
            if self.wait(KILL_DEADLINE)?.is_none() {
                return Err(SandboxError::io(format!("kill process {} of the sandbox", self.pid))(
                    io::ErrorKind::TimedOut.into(),
                ));
            }
        }
        self.tear_down()?;
        self.see(Observation::Removed)
    }
}

impl Drop for NamespaceSandbox {
    fn drop(&mut self) {
        // destroy() says what went wrong; this is for the ways that don't come by there.
        let _ = self.tear_down();
    }
}

/// The process that makes a sandbox and is the parent of its process 1.
struct Launcher {
    child: Child,
    stream: UnixStream,
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Launcher {
    fn spawn(program: &Path, args: &[OsString], plan: &Plan) -> Result<Self, SandboxError> {
        let (stream, theirs) =
            UnixStream::pair().map_err(SandboxError::io("make a socket pair for the launcher"))?;
        let reader = stream.try_clone().map_err(SandboxError::io("copy the launcher's socket"))?;
        let child = Command::new(program)
            .args(args)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(SandboxError::io(format!("execute the launcher, {}", program.display())))?;
        let mut launcher = Self { child, stream, reader: BufReader::new(reader), line: Vec::new() };
        launcher.say(plan).map_err(SandboxError::io("hand the plan to the launcher"))?;
        Ok(launcher)
    }

    fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stream.write_all(&line)
    }

    /// The next message; `None` if the launcher has ended. A time-out is an I/O error; nothing is lost by it.
    fn hear(&mut self, timeout: Duration) -> Result<Option<FromLauncher>, SandboxError> {
        let listening = || SandboxError::io("listen to the sandbox's launcher");
        let deadline = Instant::now() + timeout;
        while self.line.last() != Some(&b'\n') {
            // A time-out of zero would mean none.
            let left =
                deadline.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
            self.reader.get_ref().set_read_timeout(Some(left)).map_err(listening())?;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(listening()(error)),
            }
        }
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).map(Some).map_err(io::Error::from).map_err(listening())
    }

    /// Kills and reaps it; the kernel then kills process 1 if it still lives.
    fn end(&mut self) -> io::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn unexpected(step: &str, said: Option<FromLauncher>) -> SandboxError {
    match said {
        Some(FromLauncher::Failed { step, reason }) => SandboxError::Step { step, reason },
        Some(other) => SandboxError::Step {
            step: step.to_owned(),
            reason: format!("the launcher said {other:?}"),
        },
        None => SandboxError::Step {
            step: step.to_owned(),
            reason: "the launcher ended without a word".to_owned(),
        },
    }
}
