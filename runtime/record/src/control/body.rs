//! What happened in the control plane.

use std::collections::{BTreeMap, BTreeSet};

use custody_model::{
    Digest, Grants, ProjectName, Scope, SessionId, StartSession, Timestamp, TokenId, TokenKind,
    UserName,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::witnesses::{WitnessRefused, WitnessRestored};
use crate::event::fit::{LIST_BYTES, cut_list};
use crate::event::{Decision, RedactionApplied, WholeList};

/// What happened. Closed: a reader of version 1 knows every type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
#[expect(missing_docs, reason = "each variant is documented at the type that it carries")]
pub enum ControlBody {
    #[serde(rename = "server.started")]
    ServerStarted(ServerStarted),
    #[serde(rename = "call.requested")]
    CallRequested(Call),
    #[serde(rename = "record.accessed")]
    RecordAccessed(Call),
    #[serde(rename = "call.completed")]
    CallCompleted(CallCompleted),
    #[serde(rename = "project.created")]
    ProjectCreated(ProjectCreated),
    #[serde(rename = "policy.created")]
    PolicyCreated(PolicyCreated),
    #[serde(rename = "policy.activated")]
    PolicyActivated(PolicyActivated),
    #[serde(rename = "repository.registered")]
    RepositoryRegistered(RepositoryRegistered),
    #[serde(rename = "user.created")]
    UserCreated(UserGranted),
    #[serde(rename = "user.granted")]
    UserGranted(UserGranted),
    #[serde(rename = "user.disabled")]
    UserDisabled(UserSwitched),
    #[serde(rename = "user.enabled")]
    UserEnabled(UserSwitched),
    #[serde(rename = "token.issued")]
    TokenIssued(TokenIssued),
    #[serde(rename = "token.revoked")]
    TokenRevoked(TokenRevoked),
    #[serde(rename = "key.rotated")]
    KeyRotated(KeyRotated),
    #[serde(rename = "session.requested")]
    SessionRequested(Box<SessionRequested>),
    #[serde(rename = "approval.granted")]
    ApprovalGranted(ApprovalGranted),
    #[serde(rename = "approval.rejected")]
    ApprovalRejected(SessionReason),
    #[serde(rename = "retention.deleted")]
    RetentionDeleted(SessionReason),
    #[serde(rename = "retention.held")]
    RetentionHeld(SessionReason),
    #[serde(rename = "retention.released")]
    RetentionReleased(SessionReason),
    #[serde(rename = "session.cancelled")]
    SessionCancelled(SessionReason),
    #[serde(rename = "session.launched")]
    SessionLaunched(SessionLaunched),
    #[serde(rename = "session.abandoned")]
    SessionAbandoned(SessionReason),
    #[serde(rename = "session.lost")]
    SessionLost(SessionReason),
    #[serde(rename = "session.stop_requested")]
    SessionStopRequested(SessionReason),
    #[serde(rename = "session.signalled")]
    SessionSignalled(SessionSignalled),
    #[serde(rename = "session.attached")]
    SessionAttached(SessionAttached),
    #[serde(rename = "evidence.exported")]
    EvidenceExported(EvidenceExported),
    #[serde(rename = "file.quarantined")]
    FileQuarantined(Quarantined),
    #[serde(rename = "vault.rewrap_started")]
    VaultRewrapStarted(VaultWrapped),
    #[serde(rename = "vault.rewrapped")]
    VaultRewrapped(VaultWrapped),
    #[serde(rename = "witness.refused")]
    WitnessRefused(WitnessRefused),
    #[serde(rename = "witness.restored")]
    WitnessRestored(WitnessRestored),
    #[serde(rename = "redaction.applied")]
    RedactionApplied(RedactionApplied),
}

/// `server.started`: an instance of the server took up its work on this installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerStarted {
    /// Custody's version.
    pub version: String,
    /// The instance, as leases name it.
    pub instance: String,
}

/// `call.requested` (something is to be changed) or `record.accessed` (an auditor looks something up): durable before
/// the call has any effect or answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The operation, as the OpenAPI document names it.
    pub operation: String,
    /// What it is about: the parameters of path and query.
    pub parameters: BTreeMap<String, String>,
    /// SHA-256 of the request's body; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Digest>,
}

/// `call.completed`: with what result. Its cause is the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallCompleted {
    /// HTTP status (RFC 9110).
    pub status: u16,
    /// The error's stable code; absent if it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `project.created`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectCreated {
    /// Its name.
    pub project: ProjectName,
    /// What it is, in words.
    pub description: String,
}

/// `policy.created`: a version exists. Its document is the blob `policy` of this event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyCreated {
    /// Whose.
    pub project: ProjectName,
    /// Digest of the document's canonical form: the version.
    pub policy: Digest,
    /// The policy's name.
    pub name: String,
}

/// `policy.activated`: from here on it decides about new requests of the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyActivated {
    /// Whose.
    pub project: ProjectName,
    /// The version.
    pub policy: Digest,
    /// The version that decided before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

/// `repository.registered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryRegistered {
    /// Its name in this installation.
    pub repository: String,
    /// Whose.
    pub project: ProjectName,
    /// Where its history comes from, without credentials.
    pub source: String,
}

/// `user.created`, `user.granted`: what somebody may do from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserGranted {
    /// Who.
    pub user: UserName,
    /// All that they may do.
    pub grants: Grants,
}

/// `user.disabled`, `user.enabled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserSwitched {
    /// Who.
    pub user: UserName,
    /// Why, in words.
    pub reason: String,
}

/// `token.issued`. The token itself is nowhere on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenIssued {
    /// Its `jti` (RFC 7519).
    pub token: TokenId,
    /// Whose.
    pub user: UserName,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Until when.
    pub expires_at: Timestamp,
    /// What it is called.
    pub label: String,
    /// The service token that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TokenId>,
}

/// `token.revoked`: it, and what was made from it, is refused from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRevoked {
    /// Which.
    pub token: TokenId,
    /// Why, in words.
    pub reason: String,
}

/// `key.rotated`: the local issuer signs tokens, or the installation signs its records, with another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRotated {
    /// The key that signs from here on: the RFC 7638 thumbprint of the local issuer's, or name and hash (C2SP
    /// signed-note v1.0.0) of the installation's.
    pub key: String,
    /// For the installation's key, the note that the key before and this one signed, as in the history of keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
}

/// The name that a client gave a request, so that it can be repeated without a second session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Idempotency {
    /// The client's key.
    pub key: String,
    /// SHA-256 of the request that first came with it.
    pub request: Digest,
}

/// `session.requested`: somebody asked for a session, and what the policy said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequested {
    /// The session.
    pub session: SessionId,
    /// The project.
    pub project: ProjectName,
    /// What was asked for; variables of the environment by name, never by value.
    pub request: StartSession,
    /// A summary of the whole command, if it is too large for the event: `request` has its beginning then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_whole: Option<WholeList>,
    /// A summary of all names of the environment, if they are too large for the event: `request` has the first of them then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_whole: Option<WholeList>,
    /// Digest of the policy version that was evaluated.
    pub policy: Digest,
    /// The policy's name.
    pub policy_name: String,
    /// What it said.
    pub decision: Decision,
    /// The rule that decided, as the policy spells it.
    pub rule: String,
    /// Why, in words; empty if it is allowed.
    pub reason: String,
    /// How many people have to approve it.
    pub approvals: u64,
    /// Who may, as the policy spells it.
    pub approvers: Vec<String>,
    /// The client's name for the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
}

impl SessionRequested {
    /// Cuts the lists that have no room in one event to their beginning, and says what they were. Only after the redaction: a
    /// credential that straddles the cut would not be known any more.
    #[must_use]
    pub fn fitted(mut self) -> Self {
        self.command_whole = cut_list(&mut self.request.command, LIST_BYTES);
        self.environment_whole = cut_list(&mut self.request.environment, LIST_BYTES);
        self
    }
}

/// `approval.granted`. The approver is the event's actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalGranted {
    /// The session.
    pub session: SessionId,
    /// Who approves.
    pub approver: UserName,
    /// Digest of the request that is approved: exactly this one.
    pub request: Digest,
    /// The policy version under which it is.
    pub policy: Digest,
    /// What the approver says to it.
    pub comment: String,
    /// How many more people have to approve it.
    pub missing: u64,
}

/// `approval.rejected`, `session.cancelled` (before it ran), `session.abandoned` (it could not be started),
/// `session.lost` (a keeper may have run it, and its record is gone: it is never run again),
/// `session.stop_requested`, `retention.deleted` (its content is about to be erased), `retention.held` (nothing erases its
/// content from here on), `retention.released` (its retention class counts again).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionReason {
    /// The session.
    pub session: SessionId,
    /// Why, in words.
    pub reason: String,
}

/// `session.launched`: there was room for it, and a keeper is about to be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionLaunched {
    /// The session.
    pub session: SessionId,
    /// Who approved; empty if the policy wants no approval.
    pub approvers: Vec<UserName>,
}

/// `session.signalled`: a signal is about to be sent to its command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSignalled {
    /// The session.
    pub session: SessionId,
    /// Linux number of the signal.
    pub signal: i32,
}

/// `session.attached`: somebody is about to be connected to its terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionAttached {
    /// The session.
    pub session: SessionId,
    /// Whether what they type reaches its command.
    pub input: bool,
}

/// `evidence.exported`: a record is about to be handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceExported {
    /// Whose record.
    pub session: SessionId,
    /// The pack that it was put into; absent for the whole record as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<ExportedPack>,
}

/// An evidence pack that is about to be handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportedPack {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Number of the record's events.
    pub events: u64,
    /// How many of them are withheld.
    pub withheld_events: u64,
    /// How many contents of those that are shown are withheld.
    pub withheld_blobs: u64,
}

/// `file.quarantined`: a damaged file of the installation is about to be moved aside. Its bytes stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    /// Of whose record; absent for what belongs to no session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The file, below the state directory.
    pub file: String,
    /// Where it goes, below the state directory.
    pub to: String,
    /// SHA-256 of its bytes as they are; absent for what is no regular file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The finding's stable name.
    pub code: String,
    /// What is wrong, in words.
    pub reason: String,
}

/// `vault.rewrap_started` (the keys that contents are sealed with are about to be wrapped anew) and `vault.rewrapped` (they
/// were). One that was started and not ended was cut off: each key is wrapped as before or anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultWrapped {
    /// What wraps from here on, by its name.
    pub wrapping: String,
    /// How many keys each wrapping wraps at this moment, by its name.
    pub keys: BTreeMap<String, u64>,
}
