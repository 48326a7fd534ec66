//! Retention: for how long content is kept, who holds it, and what a pass of the sweeper did.

use custody_model::{Digest, ProjectName, SessionId, Timestamp, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long the content of a session is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Its class: `forever`, or a period after the closing, as in `180d` and `7y` (a year is 365 days).
    pub class: String,
    /// The policy version that says so: the one that it was requested under, or the project's active one if that is longer.
    pub policy: Digest,
    /// When it ends; absent for ever, and as long as the session is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who holds it: nothing erases it meanwhile, not even its class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// By whom.
    pub by: UserName,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// What is held.
    pub what: HeldWhat,
}

/// What a hold is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldWhat {
    /// This session.
    Session,
    /// Every session of its project, by the project's active policy version.
    Project,
}

/// Which sessions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionQuery {
    /// Of this project. Without `held` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// Those that the next pass of the sweeper would erase: their class has ended, and nothing holds them.
    #[serde(default)]
    pub due: bool,
    /// Those that are held themselves, whether or not they are over and whatever their class is.
    #[serde(default)]
    pub held: bool,
    /// At most so many items; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::page::MAX_PAGE))]
    pub limit: Option<u32>,
    /// After the page that said this in `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,512}$"))]
    pub after: Option<String>,
}

/// Let a pass of the sweeper begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepRetention {
    /// Only say what it would erase.
    #[serde(default)]
    pub dry_run: bool,
    /// The clock is right, although it is further ahead than `retention.clock_lead` allows.
    #[serde(default)]
    pub clock_is_right: bool,
}

/// What a pass of the sweeper did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The moment at which it was looked what is due.
    pub at: Timestamp,
    /// Nothing was erased: it is what would be.
    pub dry_run: bool,
    /// The sessions whose content was erased.
    pub erased: Vec<SessionId>,
    /// Those that could not be erased. They are tried again in each pass.
    pub failed: Vec<SweepFailure>,
    /// More is due: the next pass goes on.
    pub more: bool,
}

/// A session that could not be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepFailure {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub reason: String,
}
