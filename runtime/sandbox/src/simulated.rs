//! The simulated driver: a thread in place of a process tree.
//!
//! It isolates nothing. It keeps the whole contract otherwise, limits and freezing included, so that what stands
//! above a driver can be tested without privileges.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use custody_model::SessionId;
use custody_model::state::sandbox::{SandboxEnd, SandboxState};
use custody_model::{Clock, Limits};

use crate::{
    Authorization, Capabilities, Driver, Lifecycle, Observation, Request, Sandbox, SandboxError,
    SandboxExit, SandboxSpec, Step, Usage, admit,
};

/// The number that a simulated process 1 has: one that no process of the machine has.
pub const SIMULATED_PID: u32 = u32::MAX;

/// What plays init: it is given the connected control socket, and says how process 1 ended.
pub type Program = dyn Fn(&Inside, UnixStream) -> SandboxEnd + Send + Sync;

/// Makes sandboxes that are threads.
pub struct SimulatedDriver {
    program: Arc<Program>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for SimulatedDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDriver").finish_non_exhaustive()
    }
}

impl SimulatedDriver {
    /// Takes what plays init.
    #[must_use]
    pub fn new(program: Arc<Program>, clock: Arc<dyn Clock>) -> Self {
        Self { program, clock }
    }
}

impl Driver for SimulatedDriver {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            freeze: true,
            memory_limit: true,
            process_limit: true,
            cpu_limit: false,
            host_pids: false,
            system_trees: &[],
            added_trees: &[],
            directory_root: true,
        }
    }

    fn provision(
        &self,
        authorization: &Authorization,
        spec: &SandboxSpec,
    ) -> Result<Box<dyn Sandbox>, SandboxError> {
        admit(authorization, spec)?;
        let mut life = Lifecycle::new(self.clock.now());
        life.observe(Observation::Made, self.clock.now())?;
        Ok(Box::new(Simulated {
            life,
            socket: spec.control.join("control.sock"),
            inside: Arc::new(Inside { limits: spec.limits.clone(), ..Inside::default() }),
            stream: None,
            protections: BTreeMap::from([("isolation".to_owned(), "none: simulated".to_owned())]),
            program: Arc::clone(&self.program),
            clock: Arc::clone(&self.clock),
        }))
    }

    /// A simulated sandbox is threads of its keeper: they end with it, and leave nothing.
    fn remove_leftovers(&self, _dead: &[SessionId]) -> Result<Vec<SessionId>, SandboxError> {
        Ok(Vec::new())
    }
}

/// The simulated machine as the program sees it.
#[derive(Default)]
pub struct Inside {
    limits: Limits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frozen: bool,
    killed: bool,
    busy: bool,
    end: Option<SandboxEnd>,
    usage: Usage,
}

impl Inside {
    /// Does a piece of work as a process would: not while frozen, and not at all once killed (`None`).
    pub fn step<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let mut state = self.lock();
        while state.frozen && !state.killed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.killed {
            return None;
        }
        state.busy = true;
        drop(state);
        let done = work();
        self.lock().busy = false;
        self.changed.notify_all();
        Some(done)
    }

    /// A process uses so many bytes more and gives them back; `false` if it was killed for it.
    pub fn allocate(&self, bytes: u64) -> bool {
        let usage = &mut self.lock().usage;
        let limit = self.limits.memory_bytes.unwrap_or(u64::MAX);
        usage.memory_peak_bytes = usage.memory_peak_bytes.max(Some(bytes.min(limit)));
        if bytes > limit {
            usage.memory_kills = Some(usage.memory_kills.unwrap_or(0) + 1);
        }
        bytes <= limit
    }

    /// Makes so many processes that stay; says how many there came to be.
    pub fn spawn(&self, wanted: u64) -> u64 {
        let usage = &mut self.lock().usage;
        let now = usage.processes.unwrap_or(1);
        let limit = self.limits.processes.map_or(u64::MAX, u64::from);
        let made = wanted.min(limit.saturating_sub(now));
        usage.processes = Some(now + made);
        if made < wanted {
            usage.process_refusals = Some(usage.process_refusals.unwrap_or(0) + 1);
        }
        made
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Simulated {
    life: Lifecycle,
    socket: PathBuf,
    inside: Arc<Inside>,
    stream: Option<UnixStream>,
    protections: BTreeMap<String, String>,
    program: Arc<Program>,
    clock: Arc<dyn Clock>,
}

impl Simulated {
    fn see(&mut self, seen: Observation) -> Result<(), SandboxError> {
        Ok(self.life.observe(seen, self.clock.now())?)
    }

    fn hang_up(&mut self) {
        self.inside.lock().killed = true;
        self.inside.changed.notify_all();
        if let Some(stream) = &self.stream {
            // The other side may have hung up already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Sandbox for Simulated {
    fn state(&self) -> &SandboxState {
        self.life.state()
    }

    fn protections(&self) -> &BTreeMap<String, String> {
        &self.protections
    }

    fn start(&mut self) -> Result<(), SandboxError> {
        self.life.ask(Request::Start)?;
        let ours = UnixStream::connect(&self.socket)
            .and_then(|stream| Ok((stream.try_clone()?, stream)))
            .map_err(SandboxError::io(format!("connect to {}", self.socket.display())));
        let (theirs, ours) = match ours {
            Ok(streams) => streams,
            Err(error) => {
                self.see(Observation::Failed(error.to_string()))?;
                return Err(error);
            }
        };
        self.stream = Some(ours);
        let (inside, program) = (Arc::clone(&self.inside), Arc::clone(&self.program));
        std::thread::spawn(move || {
            let end = program(&inside, theirs);
            let mut state = inside.lock();
            state.end = Some(if state.killed { SandboxEnd::Signal(9) } else { end });
            inside.changed.notify_all();
        });
        self.see(Observation::Started)
    }

    fn pid(&self) -> Option<u32> {
        match self.life.state() {
            SandboxState::Running { .. } | SandboxState::Frozen { .. } => Some(SIMULATED_PID),
            SandboxState::Provisioning { .. }
            | SandboxState::Ready { .. }
            | SandboxState::Exited { .. }
            | SandboxState::Destroyed { .. }
            | SandboxState::Failed { .. } => None,
        }
    }

    fn freeze(&mut self) -> Result<(), SandboxError> {
        self.life.ask(Request::Freeze)?;
        let inside = Arc::clone(&self.inside);
        let mut state = inside.lock();
        state.frozen = true;
        while state.busy {
            state = inside.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        self.see(Observation::Frozen)
    }

    fn thaw(&mut self) -> Result<(), SandboxError> {
        self.life.ask(Request::Thaw)?;
        self.inside.lock().frozen = false;
        self.inside.changed.notify_all();
        self.see(Observation::Thawed)
    }

    fn usage(&self) -> Result<Usage, SandboxError> {
        Ok(self.inside.lock().usage)
    }

    fn kill(&mut self) -> Result<(), SandboxError> {
        if let Step::Do(_) = self.life.ask(Request::Kill)? {
            self.hang_up();
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<SandboxExit>, SandboxError> {
        let exit = |end| Ok(Some(SandboxExit { end, messages: String::new() }));
        if let Some(end) = self.life.end() {
            return exit(end);
        }
        if self.pid().is_none() {
            self.life
                .clone()
                .observe(Observation::Ended(SandboxEnd::Signal(9)), self.clock.now())?;
        }
        let inside = Arc::clone(&self.inside);
        let (state, _) = inside
            .changed
            .wait_timeout_while(inside.lock(), timeout, |state| state.end.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let Some(end) = state.end else {
            return Ok(None);
        };
        drop(state);
        self.see(Observation::Ended(end))?;
        exit(end)
    }

    fn destroy(mut self: Box<Self>) -> Result<(), SandboxError> {
        const PATIENCE: Duration = Duration::from_secs(30);
        if self.pid().is_some() {
            self.kill()?;
            if self.wait(PATIENCE)?.is_none() {
                return Err(SandboxError::io("end the simulated process")(
                    io::ErrorKind::TimedOut.into(),
                ));
            }
        }
        self.see(Observation::Removed)
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.hang_up();
    }
}
