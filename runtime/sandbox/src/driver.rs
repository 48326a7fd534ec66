//! The contract: what makes sandboxes, and what can be done with one.

use std::collections::BTreeMap;
use std::time::Duration;

use custody_model::SessionId;
use custody_model::state::sandbox::{SandboxEnd, SandboxState};

use crate::{Authorization, SandboxError, SandboxSpec};

/// What a driver can do. The core asks for one of these, never for a driver's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// [`Sandbox::freeze`] stops every process inside, and [`Sandbox::thaw`] lets them go on.
    pub freeze: bool,
    /// Limits on memory are enforced.
    pub memory_limit: bool,
    /// Limits on the number of processes are enforced.
    pub process_limit: bool,
    /// Limits on processor time are enforced.
    pub cpu_limit: bool,
    /// Pids of processes inside are pids of the caller's namespace: their memory and `/proc` entries can be read.
    pub host_pids: bool,
    /// An unpacked image can be the root.
    pub directory_root: bool,
    /// The system's own trees of a root, as absolute paths inside: programs, their libraries and their settings. What is read
    /// there is not told; what is run from there is.
    pub system_trees: &'static [&'static str],
    /// Trees below [`Capabilities::system_trees`] that are not the system's own, on mounts of their own: what is read there is told.
    pub added_trees: &'static [&'static str],
}

/// What a sandbox has used. Absent: the machine does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all processes so far, in microseconds.
    pub cpu_micros: Option<u64>,
    /// Memory of all processes now, in bytes.
    pub memory_bytes: Option<u64>,
    /// The most that it ever was, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads now.
    pub processes: Option<u64>,
    /// Processes that were killed because the memory limit was reached.
    pub memory_kills: Option<u64>,
    /// Processes that could not be made because the limit was reached.
    pub process_refusals: Option<u64>,
}

/// How a sandbox's process 1 ended. Nothing of the process tree is left then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxExit {
    /// Its exit code or signal.
    pub end: SandboxEnd,
    /// The last that process 1 wrote to its standard error, at most 16 KiB: init's own complaints, not the agent's.
    pub messages: String,
}

/// What makes sandboxes.
pub trait Driver: Send + Sync {
    /// Its stable name, as the record has it.
    fn name(&self) -> &'static str;

    /// What it can do on this machine.
    fn capabilities(&self) -> Capabilities;

    /// Makes a sandbox: everything but its first process. It takes `control/control.sock` as it finds it, so the
    /// caller listens before.
    ///
    /// # Errors
    /// [`SandboxError`]; nothing is left of what was begun. A limit or protection that is demanded and can't be had
    /// is an error, never skipped.
    fn provision(
        &self,
        authorization: &Authorization,
        spec: &SandboxSpec,
    ) -> Result<Box<dyn Sandbox>, SandboxError>;

    /// Kills and removes what the dead keepers of these sessions left, and says of which there was something. A keeper is
    /// dead only if its lock is free.
    ///
    /// # Errors
    /// [`SandboxError::Io`] naming the first thing that could not be removed.
    fn remove_leftovers(&self, dead: &[SessionId]) -> Result<Vec<SessionId>, SandboxError>;
}

/// One sandbox. Dropping it kills what runs inside and removes what it can; [`Sandbox::destroy`] also says whether
/// that worked.
pub trait Sandbox: Send {
    /// Where it stands, as far as it was looked at: an end is noticed by [`Sandbox::wait`].
    fn state(&self) -> &SandboxState;

    /// How each protection took, by its stable name (`user_namespace`, `capabilities`, `memory_limit`, …).
    fn protections(&self) -> &BTreeMap<String, String>;

    /// Executes init, which becomes process 1 and connects to the control socket.
    ///
    /// # Errors
    /// [`SandboxError::State`] unless it is `ready`; [`SandboxError::Step`] if init can't be executed.
    fn start(&mut self) -> Result<(), SandboxError>;

    /// Process 1 in the caller's pid namespace, while it runs.
    fn pid(&self) -> Option<u32>;

    /// Stops every process inside; returns once all stand still.
    ///
    /// # Errors
    /// [`SandboxError::State`] unless it is `running`; [`SandboxError::Io`].
    fn freeze(&mut self) -> Result<(), SandboxError>;

    /// Lets the processes go on.
    ///
    /// # Errors
    /// [`SandboxError::State`] unless it is `frozen`; [`SandboxError::Io`].
    fn thaw(&mut self) -> Result<(), SandboxError>;

    /// What it has used so far; also after its end, until it is destroyed.
    ///
    /// # Errors
    /// [`SandboxError::Io`].
    fn usage(&self) -> Result<Usage, SandboxError>;

    /// Kills every process inside, frozen or not. Returns at once: [`Sandbox::wait`] tells the end. Nothing
    /// happens if nothing runs.
    ///
    /// # Errors
    /// [`SandboxError::State`] if it is destroyed; [`SandboxError::Io`].
    fn kill(&mut self) -> Result<(), SandboxError>;

    /// Waits until process 1 has ended and no process is left, at most so long. `None`: it still runs. Once it has
    /// ended, every call gives the same answer.
    ///
    /// # Errors
    /// [`SandboxError::State`] if it was never started; [`SandboxError::Io`].
    fn wait(&mut self, timeout: Duration) -> Result<Option<SandboxExit>, SandboxError>;

    /// Kills what still runs and removes everything that the driver made: processes, mounts, cgroups.
    ///
    /// # Errors
    /// [`SandboxError::Io`]: something is left; the message names it.
    fn destroy(self: Box<Self>) -> Result<(), SandboxError>;
}
