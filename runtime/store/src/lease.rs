//! Leases: which instance of the server looks after which session. The only rows that no log tells of.
//!
//! Each session that takes room on the machine has exactly one lease, so that leases also count what runs.

use std::fmt;

use custody_model::{ProjectName, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// An instance of the server: one process from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holder(String);

impl Holder {
    /// The instance of this name, as in `host:pid:random`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lease. Key: `session`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// The session.
    pub session: SessionId,
    /// Who looks after it.
    pub holder: Holder,
    /// Until when nobody else may.
    pub until: Timestamp,
    /// Who asked for the session.
    pub user: UserName,
    /// In which project.
    pub project: ProjectName,
}

/// How many sessions may take room at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// On the machine.
    pub running: u64,
    /// Of one user.
    pub per_user: u64,
    /// Of one project.
    pub per_project: u64,
}

impl Room {
    /// No limit: for a session that runs already and changes hands.
    pub const ENDLESS: Self = Self { running: u64::MAX, per_user: u64::MAX, per_project: u64::MAX };
}

/// What came of asking for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the asker's now.
    Taken,
    /// Somebody else holds it, and it has not run out.
    Held,
    /// There is no room for another session.
    Full,
}
