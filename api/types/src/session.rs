//! Sessions, as the API has them.

use std::collections::BTreeMap;

use custody_model::state::session::SessionState;
use custody_model::{
    Digest, EventId, GitOid, Limits, ProjectName, SessionId, Timestamp, UserName, WorkspacePath,
};
use custody_record::event::{ExitStatus, Outcome};
use custody_record::witness::WitnessAssurance;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attach::Window;
use crate::moment::Moment;
use crate::retention::Retention;

/// A session to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// In which project.
    #[serde(default = "ProjectName::default_project")]
    pub project: ProjectName,
    /// On which repository, by its name here.
    #[schemars(length(min = 1, max = 100))]
    pub repository: String,
    /// The revision to start from.
    #[serde(default = "head")]
    #[schemars(length(min = 1, max = 1024))]
    pub base: String,
    /// Start from a snapshot of the working tree that the repository was registered from. Only for the local operator and
    /// admins of the installation.
    #[serde(default)]
    pub dirty: bool,
    /// The command and its arguments: at most 131071 bytes in each and 1 MiB in all, as execve(2) counts them. The record and lists
    /// have only the beginning of a long one.
    #[schemars(length(min = 1, max = 116_508))]
    pub command: Vec<String>,
    /// Where the command starts: a directory of the base commit, below its root; the root without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<WorkspacePath>,
    /// `host`, or the image's name.
    #[serde(default = "host")]
    #[schemars(length(min = 1, max = 256))]
    pub image: String,
    /// The limits that are asked for; what is absent is taken from the policy.
    #[serde(default)]
    pub limits: Limits,
    /// Variables that are to enter; the policy decides which may.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Mediate the whole workspace synchronously.
    #[serde(default)]
    pub strict: bool,
    /// Give the command a terminal of this size; pipes otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Window>,
    /// Somebody will attach and send input; `/dev/null` otherwise.
    #[serde(default)]
    pub input: bool,
    /// Somebody attaches at once: the command waits for them, at most 10 seconds, so that they see all of its output.
    #[serde(default)]
    pub attach: bool,
    /// Under this policy document in place of the project's active one: for admins of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = crate::policy::MAX_DOCUMENT_BYTES))]
    pub policy: Option<String>,
}

fn head() -> String {
    "HEAD".to_owned()
}

fn host() -> String {
    "host".to_owned()
}

/// A session: what was asked for, what the policy said, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// The project.
    pub project: ProjectName,
    /// Who asked.
    pub requester: UserName,
    /// When.
    pub requested_at: Timestamp,
    /// On which repository.
    pub repository: String,
    /// The commit that its workspace starts from.
    pub base_commit: GitOid,
    /// Its tree.
    pub base_tree: GitOid,
    /// The base is a snapshot of a working tree with changes that were not committed.
    pub dirty: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// `host`, or the image's name.
    pub image: String,
    /// Names of the variables that were to enter.
    pub environment: Vec<String>,
    /// The limits that were asked for.
    pub limits: Limits,
    /// The whole workspace is mediated synchronously.
    pub strict: bool,
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
    pub approvals: Vec<Approval>,
    /// Where it stands.
    pub state: SessionState,
    /// Where it stands in line, while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// When that, or anything else of it, changed last.
    pub updated_at: Timestamp,
    /// Who asked for its end, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How its command ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// Events of its record that the index has.
    pub events: u64,
    /// RFC 6962 root of its record, once it is sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// How much it did.
    pub counts: Counts,
    /// The last commit of its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitOid>,
    /// Its content was erased: events, digests and proofs are what is left. Shown of a single session, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<Erased>,
    /// How long its content is kept, and who holds it. Shown of a single session, in lists, and where it is held or released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Who but the installation vouches for its record, up to its newest head in the installation log. Shown of a single
    /// session, not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnesses: Option<WitnessAssurance>,
}

/// Somebody's approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
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

/// Where a session stands in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// From 1.
    pub place: u64,
    /// How many wait.
    pub of: u64,
}

/// Who asked for the end of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Who.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
}

/// How much a session did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The name of a session's state.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is documented at the state itself")]
pub enum StateName {
    Requested,
    AwaitingApproval,
    Queued,
    Provisioning,
    Running,
    Paused,
    Stopping,
    Sealed,
    Refused,
    Failed,
    Interrupted,
    Lost,
}

impl StateName {
    /// The name of a state.
    #[must_use]
    pub const fn of(state: &SessionState) -> Self {
        match state {
            SessionState::Requested { .. } => Self::Requested,
            SessionState::AwaitingApproval { .. } => Self::AwaitingApproval,
            SessionState::Queued { .. } => Self::Queued,
            SessionState::Provisioning { .. } => Self::Provisioning,
            SessionState::Running { .. } => Self::Running,
            SessionState::Paused { .. } => Self::Paused,
            SessionState::Stopping { .. } => Self::Stopping,
            SessionState::Sealed { .. } => Self::Sealed,
            SessionState::Refused { .. } => Self::Refused,
            SessionState::Failed { .. } => Self::Failed,
            SessionState::Interrupted { .. } => Self::Interrupted,
            SessionState::Lost { .. } => Self::Lost,
        }
    }

    /// The stable text form: that of [`SessionState::name`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Queued => "queued",
            Self::Provisioning => "provisioning",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Sealed => "sealed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Lost => "lost",
        }
    }
}

/// The order of a list of sessions; ids break ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Sort {
    /// The newest request first.
    #[default]
    #[serde(rename = "-requested_at")]
    NewestFirst,
    /// The oldest request first.
    #[serde(rename = "requested_at")]
    OldestFirst,
    /// What changed last first.
    #[serde(rename = "-updated_at")]
    LastChangedFirst,
}

/// Which sessions are wanted; what is absent excludes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// Of this project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// Of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<UserName>,
    /// On this repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// In one of these states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<StateName>,
    /// Asked for at or after this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// Asked for before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Whose id begins like this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f-]{0,36}$"))]
    pub prefix: Option<String>,
    /// In which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// At most so many items; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::page::MAX_PAGE))]
    pub limit: Option<u32>,
    /// After the page that said this in `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,512}$"))]
    pub after: Option<String>,
}

/// Approve a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveSession {
    /// What the approver says to it; at most 4096 bytes.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub comment: String,
}

/// Reject a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectSession {
    /// Why, in words; at most 4096 bytes.
    #[schemars(length(min = 1, max = 4096))]
    pub reason: String,
}

/// Erase the content of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseSession {
    /// Why, in words, for the record; at most 4096 bytes.
    #[schemars(length(min = 1, max = 4096))]
    pub reason: String,
}

/// That the content of a session was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// By whom.
    pub by: UserName,
    /// When it was decided.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The control event that decided it.
    pub event: EventId,
}

/// Hold a session: nothing erases its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldSession {
    /// Why, in words, for the record; at most 4096 bytes.
    #[schemars(length(min = 1, max = 4096))]
    pub reason: String,
}

/// Release a session: its retention class counts again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSession {
    /// Why, in words, for the record; at most 4096 bytes.
    #[schemars(length(min = 1, max = 4096))]
    pub reason: String,
}

/// Stop a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopSession {
    /// Why, in words; at most 4096 bytes.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub reason: String,
}

/// Send a signal to the command of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalSession {
    /// Its Linux number.
    #[schemars(range(min = 1, max = 31))]
    pub signal: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_needs_no_more_than_a_repository_and_a_command() {
        let json = r#"{"repository":"app","command":["true"]}"#;
        let asked: CreateSession = serde_json::from_str(json).unwrap();
        assert_eq!((asked.project.as_str(), asked.base.as_str()), ("default", "HEAD"));
        assert_eq!((asked.image.as_str(), asked.terminal), ("host", None));
        let unknown = r#"{"repository":"app","command":["true"],"sudo":true}"#;
        let error = serde_json::from_str::<CreateSession>(unknown).unwrap_err();
        assert!(error.to_string().contains("sudo"));
    }

    #[test]
    fn a_state_has_the_name_that_the_model_gives_it() {
        let state = SessionState::requested(Timestamp::from_micros(0));
        assert_eq!(StateName::of(&state).as_str(), state.name());
        assert_eq!(serde_json::to_value(StateName::AwaitingApproval).unwrap(), "awaiting_approval");
    }
}
