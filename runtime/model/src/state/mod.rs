//! The life cycles of a session, its sandbox and its record, as pure state machines.
//!
//! Each state carries its data. A transition consumes the state, takes the time as an argument and either gives
//! the next state or says why there is none. The real and the simulated parts share these machines.

pub mod record;
pub mod sandbox;
pub mod session;

/// A transition that the state does not have. The state is lost: the caller keeps a copy where it needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {from} can't {verb}")]
pub struct InvalidTransition {
    /// `session`, `sandbox` or `record`.
    pub machine: &'static str,
    /// The name of the state.
    pub from: &'static str,
    /// What was asked of it.
    pub verb: &'static str,
}
