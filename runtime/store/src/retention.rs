//! Retention: what policy versions say of it, who holds what, and which sessions' content has an end.

use custody_model::{ProjectName, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::SessionRow;

/// What a policy version says of retention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRow {
    /// Seconds that content is kept after the closing; absent: for ever.
    pub content_seconds: Option<u64>,
    /// Why all sessions of the project are held while the version is the active one.
    pub hold: Option<String>,
    /// Whether an admin may erase before the class has ended.
    pub early_erasure: bool,
}

impl Default for RetentionRow {
    /// What a document says that says nothing.
    fn default() -> Self {
        Self { content_seconds: None, hold: None, early_erasure: true }
    }
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRow {
    /// By whom.
    pub by: UserName,
    /// Since when.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// Which of the sessions are wanted that are over, whose content is still there, and whose class has an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptFilter {
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Whose class ends at or before this moment.
    pub ends_by: Option<Timestamp>,
    /// Those alone that nothing holds, neither themselves nor their project.
    pub free: bool,
}

/// A session whose content has an end.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRow {
    /// The session.
    pub session: SessionRow,
    /// When the class ends: that of the policy version that it was requested under, or the active one's of its project if that
    /// is longer.
    pub ends_at: Timestamp,
    /// The hold on its project.
    pub project_hold: Option<HoldRow>,
}
