//! Sessions, as lists show and filter them.

use std::collections::BTreeSet;
use std::str::FromStr;

use custody_model::state::session::SessionState;
use custody_model::{Digest, GitOid, ProjectName, SessionId, StartSession, Timestamp, UserName};
use custody_record::control::Idempotency;
use custody_record::event::{ExitStatus, Outcome};
use serde::{Deserialize, Serialize};

use crate::HoldRow;

/// Somebody's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRow {
    /// Who.
    pub approver: UserName,
    /// When.
    pub at: Timestamp,
    /// Digest of the request that was approved.
    pub request: Digest,
    /// The policy version under which it was.
    pub policy: Digest,
    /// What they said to it.
    pub comment: String,
}

/// Who asked for the end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRow {
    /// Who.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// How much a session did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Files read.
    pub read: u64,
    /// Files written.
    pub written: u64,
    /// Files removed.
    pub removed: u64,
    /// Programs executed.
    pub executed: u64,
    /// Refused accesses to files.
    pub denied: u64,
    /// Refused attempts to reach something outside.
    pub egress_denied: u64,
    /// Gaps in the record.
    pub gaps: u64,
}

/// A session. Key: `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRow {
    /// The session.
    pub id: SessionId,
    /// The project.
    pub project: ProjectName,
    /// What was asked for, by whom.
    pub request: StartSession,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Digest of the policy version that was evaluated.
    pub policy: Digest,
    /// The policy's name.
    pub policy_name: String,
    /// The rule that decided, as the policy spells it.
    pub rule: String,
    /// How many people have to approve it.
    pub approvals_wanted: u64,
    /// Who may, as the policy spells it.
    pub approvers: Vec<String>,
    /// Who did.
    pub approvals: Vec<ApprovalRow>,
    /// The client's name for the request: unique for each requester.
    pub idempotency: Option<Idempotency>,
    /// Where it stands.
    pub state: SessionState,
    /// When that, or anything else of it, changed last.
    pub updated_at: Timestamp,
    /// Who asked for its end, if somebody did.
    pub stop: Option<StopRow>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why, in words.
    pub reason: Option<String>,
    /// How its command ended.
    pub exit: Option<ExitStatus>,
    /// Events of its record that are in the index.
    pub events: u64,
    /// RFC 6962 root of its record, once it is sealed.
    pub root: Option<Digest>,
    /// How much it did.
    pub counts: Counts,
    /// The last commit of its branch.
    pub commit: Option<GitOid>,
    /// A legal hold on it, beside what its project's policy holds.
    pub hold: Option<HoldRow>,
    /// When it was decided to erase its content, if it was.
    pub erased_at: Option<Timestamp>,
}

/// Which sessions somebody may see: those of `projects`, and their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// Every session there is.
    pub everything: bool,
    /// Every session of these projects.
    pub projects: BTreeSet<ProjectName>,
    /// The sessions that this user asked for.
    pub own: Option<UserName>,
}

impl Visibility {
    /// Every session there is.
    #[must_use]
    pub fn everything() -> Self {
        Self { everything: true, projects: BTreeSet::new(), own: None }
    }

    /// Whether this session is among them.
    #[must_use]
    pub fn shows(&self, row: &SessionRow) -> bool {
        self.everything
            || self.projects.contains(&row.project)
            || self.own.as_ref() == Some(&row.request.requester)
    }
}

/// Which sessions are wanted; what is absent excludes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFilter {
    /// Those that may be seen.
    pub visibility: Visibility,
    /// Of this project.
    pub project: Option<ProjectName>,
    /// Of this user.
    pub requester: Option<UserName>,
    /// On this repository.
    pub repository: Option<String>,
    /// In one of these states, by [`SessionState::name`]; in any if empty.
    pub states: BTreeSet<String>,
    /// Asked for at or after this moment.
    pub since: Option<Timestamp>,
    /// Asked for before this moment.
    pub until: Option<Timestamp>,
    /// Whose id begins like this.
    pub prefix: Option<String>,
    /// In which order.
    pub sort: SessionSort,
}

impl SessionFilter {
    /// Everything that may be seen, the newest first.
    #[must_use]
    pub fn all(visibility: Visibility) -> Self {
        Self {
            visibility,
            project: None,
            requester: None,
            repository: None,
            states: BTreeSet::new(),
            since: None,
            until: None,
            prefix: None,
            sort: SessionSort::default(),
        }
    }
}

/// The order of a list of sessions; ids break ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SessionSort {
    /// `-requested_at`: the newest request first.
    #[default]
    NewestFirst,
    /// `requested_at`: the oldest request first.
    OldestFirst,
    /// `-updated_at`: what changed last first.
    LastChangedFirst,
}

/// Why a text names no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no order: -requested_at, requested_at and -updated_at are")]
pub struct UnknownSort(String);

impl FromStr for SessionSort {
    type Err = UnknownSort;

    fn from_str(text: &str) -> Result<Self, UnknownSort> {
        match text {
            "-requested_at" => Ok(Self::NewestFirst),
            "requested_at" => Ok(Self::OldestFirst),
            "-updated_at" => Ok(Self::LastChangedFirst),
            _ => Err(UnknownSort(text.to_owned())),
        }
    }
}
