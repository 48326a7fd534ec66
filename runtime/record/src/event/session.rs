//! What happened to the session itself: authorised, provisioned, run, compared, committed, closed.

use std::collections::BTreeMap;

use custody_model::{
    Digest, GitOid, LimitName, Limits, ProcessRef, Timestamp, UserName, WorkspacePath,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::code::{ClosingCode, GapCode, PauseCode};
use super::coverage::Coverage;
use super::process::ExitStatus;

/// A summary of a list of texts, if its event has only the beginning of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WholeList {
    /// Bytes of all texts, each with a NUL at its end.
    pub bytes: u64,
    /// Number of texts.
    pub count: u64,
    /// SHA-256 of these bytes, after their redaction.
    pub digest: Digest,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestedSession {
    /// The repository's name in this installation.
    pub repository: String,
    /// The commit that the workspace starts from.
    pub base_commit: GitOid,
    /// Its tree.
    pub base_tree: GitOid,
    /// The base is a snapshot of a working tree with changes that were not committed.
    pub dirty: bool,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// A summary of the whole command, if it was cut because it was too large for the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_whole: Option<WholeList>,
    /// `host`, or the image's name.
    pub image: String,
    /// What it may use.
    pub limits: Limits,
    /// Names of the environment variables that enter (never their values).
    pub environment: Vec<String>,
    /// A summary of all names, if they were cut because they were too large for the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_whole: Option<WholeList>,
    /// The whole workspace is mediated synchronously.
    pub strict: bool,
}

/// `session.authorized`: the first event of every session that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionAuthorized {
    /// Who asked.
    pub requester: UserName,
    /// Who approved; empty if the policy wants no approval.
    pub approvers: Vec<UserName>,
    /// What was asked for.
    pub request: RequestedSession,
    /// The policy's name.
    pub policy_name: String,
    /// The rule that allowed it, as the policy spells it.
    pub rule: String,
}

/// `session.provisioned`: the sandbox exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionProvisioned {
    /// The driver.
    pub driver: String,
    /// The name of a [`super::MediationMode`]; in records from before the codes a text follows.
    pub mediation: String,
    /// The reason why it is strict without a request for it, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mediation_reason: Option<String>,
    /// Number of guarded paths.
    pub guards: u64,
    /// Kernel release.
    pub kernel: String,
    /// SHA-256 of the init that is process 1 inside.
    pub init: Digest,
    /// Each protection by name (`landlock`, `seccomp`, `user_namespace`, …) and how it took.
    pub protections: BTreeMap<String, String>,
    /// The first submodules of the base commit, nested ones included, fewer if their paths are long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodules: Option<Vec<BaseSubmodule>>,
    /// Number of all submodules of the base commit; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodule_count: Option<u64>,
    /// Number of commits at which the session's history is cut off, because the source is a shallow clone; absent if it is
    /// complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_cuts: Option<u64>,
}

/// A submodule at the start of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseSubmodule {
    /// Its directory in the workspace.
    pub path: WorkspacePath,
    /// The commit of the submodule's repository that is checked out.
    pub commit: GitOid,
    /// The reason why its directory is empty, for people; absent if its files are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// `session.started`: the command is about to be executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionStarted {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// A summary of the whole command, if it was cut because it was too large for the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_whole: Option<WholeList>,
    /// Its working directory inside.
    pub cwd: String,
    /// Its standard streams are a terminal.
    pub terminal: bool,
}

/// `session.paused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionPaused {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<PauseCode>,
    /// Why, in words.
    pub reason: String,
}

/// `session.resumed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionResumed {
    /// Microseconds that it was paused.
    pub paused_micros: u64,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The command ended by itself.
    Completed,
    /// A person or a limit stopped it.
    Stopped,
    /// The policy or an approver refused it; nothing ran.
    Refused,
    /// It could not be provisioned or started.
    Failed,
    /// Its keeper died; the record was closed by another process.
    Interrupted,
}

/// `session.closed`: the last event of every record. Its own `seq` is the number of events before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionClosed {
    /// How.
    pub outcome: Outcome,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<ClosingCode>,
    /// The limit that was reached: the session was stopped, or a process was killed or refused because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitName>,
    /// Why, in words.
    pub reason: String,
    /// How the command ended, if it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
    /// Number of events of each type in the record, this one included.
    pub counts: BTreeMap<String, u64>,
    /// Coverage of each place: `workspace`, `git_objects`, `scratch`, `image`, `processes`, `network`, `terminal`,
    /// `models`. Older records have `files` for the workspace.
    pub coverage: BTreeMap<String, Coverage>,
}

/// What a policy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Decision {
    Allow,
    Deny,
    NeedsApproval,
}

/// `policy.decided`: a decision that no other event tells, mostly a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDecided {
    /// The action, as in `session.request`.
    pub action: String,
    /// The decision.
    pub decision: Decision,
    /// The rule that decided, as the policy spells it.
    pub rule: String,
    /// Why, in words.
    pub reason: String,
}

/// `policy.violated`: something that a rule forbids came into being where it could not be decided beforehand; it
/// stays out of the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyViolated {
    /// Which path.
    pub path: WorkspacePath,
    /// The rule, as the policy spells it.
    pub rule: String,
    /// What was found, in words.
    pub what: String,
}

/// `terminal.recorded`: the terminal's stream is a blob `terminal` of this event (asciicast v3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalRecorded {
    /// Bytes that the processes inside wrote.
    pub output_bytes: u64,
    /// Bytes that were typed or piped in.
    pub input_bytes: u64,
    /// Bytes of output that the recording lacks because it reached its limit.
    pub cut_bytes: u64,
}

/// How the workspace and the record differ at one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It is in the workspace and no event tells of it.
    Unrecorded,
    /// Events tell of it and the workspace lacks it.
    Missing,
    /// Its content is not the last one that events tell of.
    Differs,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Where.
    pub path: WorkspacePath,
    /// How.
    pub kind: DifferenceKind,
    /// The content in the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Digest>,
}

/// `workspace.compared`: the upper layer against the record, after the sandbox ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceCompared {
    /// Entries of the upper layer that were compared.
    pub entries: u64,
    /// The first differences, at most 200, fewer if their paths are long.
    pub differences: Vec<Difference>,
    /// All of them.
    pub difference_count: u64,
}

impl WorkspaceCompared {
    /// What the record does not tell of the workspace, in words; `None` if it tells all that was found.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        let count = self.difference_count;
        (count > 0).then(|| format!("the workspace and the record differ at {count} paths"))
    }
}

/// Who made a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommitAuthor {
    /// A process inside the sandbox.
    Agent,
    /// Custody, from what the session left in the workspace.
    Custody,
}

/// What a commit did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are git's")]
pub enum ChangeStatus {
    Added,
    Modified,
    Deleted,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedFile {
    /// Which.
    pub path: WorkspacePath,
    /// What was done.
    pub status: ChangeStatus,
    /// The new blob; absent if deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<GitOid>,
    /// SHA-256 of its content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// A published ref, other than its branch, that a session created or moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatedRef {
    /// Its full name in the mirror, as in `refs/heads/custody/0197….refs/heads/topic` or `refs/tags/custody/0197…/v1`.
    pub name: String,
    /// Its name in the session's repository, as in `refs/heads/topic` or `stash@{0}`.
    pub inside: String,
    /// The commit or annotated tag that it points at.
    pub object: GitOid,
}

/// `commit.created`: a commit of the session's branch, in the order of the branch. Commits of the session's other refs come before
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitCreated {
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
    /// Its parents.
    pub parents: Vec<GitOid>,
    /// The branch, as in `custody/0197…`; for a commit that is not in the branch, the ref that has it, as in
    /// `custody/0197….refs/heads/topic`.
    pub branch: String,
    /// Who made it.
    pub author: CommitAuthor,
    /// The first files that differ from the first parent, at most 100 and fewer where their paths are long; all are in the
    /// blob `files` (JSON) when there are more.
    pub files: Vec<ChangedFile>,
    /// How many differ.
    pub file_count: u64,
    /// The session's other refs that were created or moved, at most 100; only in the event of the last commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<Vec<CreatedRef>>,
    /// The submodule whose repository has the commit, by its directory in the workspace. The paths of `files` are paths of the
    /// workspace, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodule: Option<WorkspacePath>,
    /// The submodules that the session changed, at most 100; only in the event of the last commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodules: Option<Vec<CreatedSubmodule>>,
}

/// A session's commits in a submodule's repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatedSubmodule {
    /// Its directory in the workspace.
    pub path: WorkspacePath,
    /// The submodule's commit when the session began.
    pub base: GitOid,
    /// The submodule's commit in the session's branch; the base if only `refs` were published.
    pub commit: GitOid,
    /// Full name in the mirror of the ref that has the commit; absent if it is the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The refs that the session created or moved in the submodule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<Vec<CreatedRef>>,
}

/// `recorder.degraded`: from here on the record could not be written. What follows up to `recorder.restored` waited in
/// memory, and no effect left the sandbox meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecorderDegraded {
    /// What failed: `write`, `fsync`, or `find` (the file or its directory is gone) of the record itself, or, in words, what is
    /// stored beside it at the session's end, as in `the outputs`.
    pub step: String,
    /// How, in the system's words.
    pub error: String,
    /// Number of events that were durable then.
    pub durable: u64,
}

/// `recorder.restored`: everything before it is durable again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecorderRestored {
    /// Since when it could not be written: the time of its `recorder.degraded`.
    pub since: Timestamp,
    /// Number of events that waited in memory.
    pub waited: u64,
    /// How often it was tried to write them.
    pub attempts: u64,
}

/// What could not be recorded.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the channels")]
pub enum GapSource {
    Files,
    Processes,
    Network,
    Terminal,
    Keeper,
    Scratch,
    Image,
}

/// `recorder.gap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The channel in which something is missing.
    pub source: GapSource,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<GapCode>,
    /// The cause and the missing part, for people.
    pub reason: String,
    /// From here …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// … to here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The process that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRef>,
}
