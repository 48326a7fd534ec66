//! Why a sandbox could not be made, asked or removed.

use std::io;

use custody_model::state::InvalidTransition;

/// An error of a driver. Each says what to do, or what was being done.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The specification contradicts itself.
    #[error("the sandbox can't be made: {field}: {reason}")]
    InvalidSpec {
        /// Which field.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// The specification wants more than the permit grants.
    #[error("the sandbox can't be made: its limit {limit} is looser than the permit's")]
    ExceedsPermit {
        /// Which limit.
        limit: &'static str,
    },
    /// The machine lacks what a demanded protection or limit needs.
    #[error("the sandbox can't be made: {what} is not available: {reason}. {advice}")]
    Unavailable {
        /// Which protection or limit.
        what: String,
        /// Why it is not there.
        reason: String,
        /// What to do about it.
        advice: String,
    },
    /// A step failed inside the process that makes the sandbox; the chain of causes is text, because it comes from
    /// another process.
    #[error("the sandbox can't be made: {step}: {reason}")]
    Step {
        /// Which step.
        step: String,
        /// Why it failed.
        reason: String,
    },
    /// The sandbox is not in a state for that.
    #[error(transparent)]
    State(#[from] InvalidTransition),
    /// Something outside the sandbox could not be read, written or waited for.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    /// For `map_err`: an I/O error with what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
