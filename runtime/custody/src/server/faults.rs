//! Faults that tests ask for: the process kills itself at a step of the orchestrator, as a power failure would.

use custody_session::{Faults, SessionError, When};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cli::FaultAt;

/// Kills this process at each of these steps.
pub(super) struct KillAt(pub(super) Vec<FaultAt>);

impl Faults for KillAt {
    fn at(&self, step: &str, when: When) -> Result<(), SessionError> {
        let after = match when {
            When::Before => false,
            When::After => true,
        };
        if self.0.iter().any(|fault| fault.step == step && fault.after == after) {
            // Nothing is flushed, nothing is undone.
            let _gone = kill(Pid::this(), Signal::SIGKILL);
        }
        Ok(())
    }
}
