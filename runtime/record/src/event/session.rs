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

/// A list of texts as a whole, where its event has room for its beginning only.
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
    /// The whole command, if it was cut because the event had no room for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_whole: Option<WholeList>,
    /// `host`, or the image's name.
    pub image: String,
    /// What it may use.
    pub limits: Limits,
    /// Names of the environment variables that enter (never their values).
    pub environment: Vec<String>,
    /// All names, if they were cut because the event had no room for them.
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
    /// A [`super::MediationMode`] by its name; records from before the codes have words after it.
    pub mediation: String,
    /// Why it is strict where nobody asked for that, in words.
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
    /// The first submodules of the base commit, those of submodules among them, fewer where their paths are long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodules: Option<Vec<BaseSubmodule>>,
    /// How many there are; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodule_count: Option<u64>,
    /// Number of commits at which the history that the session sees is cut off (the source is a shallow clone); absent if it is
    /// whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_cuts: Option<u64>,
}

/// A submodule as a session finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseSubmodule {
    /// Its directory in the workspace.
    pub path: WorkspacePath,
    /// The commit that it stands for, of the submodule's repository.
    pub commit: GitOid,
    /// Why its directory is empty, in words; absent if its files are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// `session.started`: the command is about to be executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionStarted {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The whole command, if it was cut because the event had no room for it.
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
    /// The limit that was reached: it stopped the session, or processes were killed or not started at it.
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
    /// `models`. Records from before places were told apart say `files` of the workspace.
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
    /// The first differences, at most 200, fewer where their paths are long.
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

/// A ref that a session made or moved beside its branch, as it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatedRef {
    /// Its full name in the mirror, as in `refs/heads/custody/0197….refs/heads/topic` or `refs/tags/custody/0197…/v1`.
    pub name: String,
    /// What git called it inside, as in `refs/heads/topic` or `stash@{0}`.
    pub inside: String,
    /// The commit or annotated tag that it points at.
    pub object: GitOid,
}

/// `commit.created`: a commit of the session's branch, in the order of the branch; or, before those, one of another ref that the
/// session made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitCreated {
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
    /// Its parents.
    pub parents: Vec<GitOid>,
    /// The branch, as in `custody/0197…`; of a commit that the branch lacks, the ref that has it, as in
    /// `custody/0197….refs/heads/topic`.
    pub branch: String,
    /// Who made it.
    pub author: CommitAuthor,
    /// The first files that differ from the first parent, at most 100 and fewer where their paths are long; all are in the
    /// blob `files` (JSON) when there are more.
    pub files: Vec<ChangedFile>,
    /// How many differ.
    pub file_count: u64,
    /// Of the last commit: the refs that the session made or moved beside the branch, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refs: Option<Vec<CreatedRef>>,
    /// The submodule, by its directory in the workspace, in whose repository the commit is. The paths of `files` are those in the
    /// workspace there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodule: Option<WorkspacePath>,
    /// Of the last commit: the submodules in which the session changed something, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodules: Option<Vec<CreatedSubmodule>>,
}

/// What a session made in a submodule: commits of the submodule's repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatedSubmodule {
    /// Its directory in the workspace.
    pub path: WorkspacePath,
    /// The commit that it stood for when the session began.
    pub base: GitOid,
    /// The commit that it stands for in the session's branch; the base if only `refs` came out.
    pub commit: GitOid,
    /// Full name in the mirror of the ref that has the commit; absent if it is the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The refs that the session made or moved in the submodule.
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
    /// Of which channel.
    pub source: GapSource,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<GapCode>,
    /// Why and what may be missing, in words.
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
