//! When each key of an installation was in force: told by sizes of the logs whose heads it signed, not by clocks.

use custody_model::Timestamp;
use ed25519_dalek::VerifyingKey;

/// The turn from one key to the next. Heads of exactly these sizes may be signed by either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Size of the installation log.
    pub log: u64,
    /// Size of the control log.
    pub control: u64,
    /// When, by the installation's clock.
    pub time: Timestamp,
}

/// From one turn to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// Absent for the first key, and for one of which no history was given.
    pub since: Option<Turn>,
    /// Absent for the key in force.
    pub until: Option<Turn>,
}

impl Term {
    /// Whether a head of the installation log of this size falls into it.
    #[must_use]
    pub fn covers_log(&self, size: u64) -> bool {
        self.since.is_none_or(|turn| turn.log <= size)
            && self.until.is_none_or(|turn| size <= turn.log)
    }

    /// Whether a head of the control log of this size falls into it.
    #[must_use]
    pub fn covers_control(&self, size: u64) -> bool {
        self.since.is_none_or(|turn| turn.control <= size)
            && self.until.is_none_or(|turn| size <= turn.control)
    }

    /// It has no bounds: nothing is known of other keys.
    #[must_use]
    pub fn is_unbounded(&self) -> bool {
        self.since.is_none() && self.until.is_none()
    }
}

/// A key of an installation and its term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Termed {
    pub(super) public: VerifyingKey,
    pub(super) term: Term,
}
