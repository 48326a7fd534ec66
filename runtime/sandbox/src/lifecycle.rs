//! The life cycle that all drivers share: pure, time comes in as an argument.
//!
//! What a caller can ask for is one type ([`Request`]), what may be seen to happen another ([`Observation`]): nobody
//! can ask a sandbox to have exited.

use custody_model::Timestamp;
use custody_model::state::InvalidTransition;
use custody_model::state::sandbox::{SandboxEnd, SandboxState};

/// What can be asked of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Execute init.
    Start,
    /// Stop every process.
    Freeze,
    /// Let them go on.
    Thaw,
    /// Kill every process.
    Kill,
}

/// What the driver has to do for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do it, then tell the [`Lifecycle`] what came of it.
    Do(Request),
    /// Nothing: it is so already.
    Nothing,
}

/// What a driver saw happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// All is made; nothing runs.
    Made,
    /// Init was executed.
    Started,
    /// Every process stands still.
    Frozen,
    /// They go on.
    Thawed,
    /// Process 1 ended, and with it every other.
    Ended(SandboxEnd),
    /// It could not be made or started.
    Failed(String),
    /// Everything was removed.
    Removed,
}

/// Where a sandbox stands, and what may come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    state: SandboxState,
}

impl Lifecycle {
    /// Of a sandbox that is being made.
    #[must_use]
    pub const fn new(at: Timestamp) -> Self {
        Self { state: SandboxState::provisioning(at) }
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> &SandboxState {
        &self.state
    }

    /// What a request means now. It changes nothing: only an [`Observation`] does.
    ///
    /// # Errors
    /// [`InvalidTransition`] where the state does not have it.
    pub fn ask(&self, request: Request) -> Result<Step, InvalidTransition> {
        use SandboxState as S;
        let cannot =
            |verb| Err(InvalidTransition { machine: "sandbox", from: self.state.name(), verb });
        match (request, &self.state) {
            (Request::Start, S::Ready { .. })
            | (Request::Freeze, S::Running { .. })
            | (Request::Thaw, S::Frozen { .. })
            | (Request::Kill, S::Running { .. } | S::Frozen { .. }) => Ok(Step::Do(request)),
            (
                Request::Kill,
                S::Provisioning { .. } | S::Ready { .. } | S::Exited { .. } | S::Failed { .. },
            ) => Ok(Step::Nothing),
            (Request::Start, _) => cannot("start"),
            (Request::Freeze, _) => cannot("be frozen"),
            (Request::Thaw, _) => cannot("be thawed"),
            (Request::Kill, S::Destroyed { .. }) => cannot("be killed"),
        }
    }

    /// Takes note of what happened. The state stays as it was if it is none that could follow.
    ///
    /// # Errors
    /// [`InvalidTransition`]: a driver saw what can't be.
    pub fn observe(&mut self, seen: Observation, at: Timestamp) -> Result<(), InvalidTransition> {
        let state = self.state.clone();
        self.state = match seen {
            Observation::Made => state.ready(at),
            Observation::Started => state.start(at),
            Observation::Frozen => state.freeze(at),
            Observation::Thawed => state.thaw(at),
            Observation::Ended(end) => state.exit(at, end),
            Observation::Failed(reason) => state.fail(at, reason),
            Observation::Removed => state.destroy(at),
        }?;
        Ok(())
    }

    /// How process 1 ended, if it did.
    #[must_use]
    pub const fn end(&self) -> Option<SandboxEnd> {
        match &self.state {
            SandboxState::Exited { end, .. } => Some(*end),
            SandboxState::Provisioning { .. }
            | SandboxState::Ready { .. }
            | SandboxState::Running { .. }
            | SandboxState::Frozen { .. }
            | SandboxState::Destroyed { .. }
            | SandboxState::Failed { .. } => None,
        }
    }
}
