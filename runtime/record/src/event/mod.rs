//! The event: one entry of a record.
//!
//! Format: one JSON object in the canonical form of RFC 8785, at most [`MAX_EVENT_BYTES`] bytes; what is larger is a
//! blob that the event names. Envelope version 1. A missing value is an absent member, but `prev`, `cause`
//! and `on_behalf_of`, which are `null`.

#[cfg(test)]
mod agreement;
mod code;
mod codec;
mod content;
mod coverage;
mod deed;
mod file;
pub(crate) mod fit;
mod form;
mod members;
mod outside;
mod process;
mod redaction;
mod session;

use custody_model::{Actor, Digest, EventId, SessionId, Timestamp, UserName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use code::{ClosingCode, GapCode, MediationMode, PauseCode};
pub(crate) use codec::{Encoder, Parts, append_gap};
pub use codec::{EventError, EventType};
pub use content::{BlobRef, InvalidSealedName, SealedName, StoredBlob};
pub use coverage::{Coverage, Place};
pub use deed::Deed;
pub use file::{
    Access, AttributesChanged, FileDenied, FileKind, FileLinked, FileOpened, FileRead, FileRemoved,
    FileRenamed, FileReopened, FileSymlinked, FileWritten, Operation, Uncertain,
};
pub use fit::MAX_ARGUMENT_BYTES;
pub use outside::{FileOutside, HistoryRead, OutsidePlace, Unhashed};
pub use process::{EgressDenied, EgressVia, ExitStatus, ProcessExecuted, ProcessExited, Transport};
pub use redaction::{MAX_REDACTIONS_TOLD, Redaction, RedactionApplied};
pub use session::{
    BaseSubmodule, ChangeStatus, ChangedFile, CommitAuthor, CommitCreated, CreatedRef,
    CreatedSubmodule, Decision, Difference, DifferenceKind, Gap, GapSource, Outcome, PolicyDecided,
    PolicyViolated, RecorderDegraded, RecorderRestored, RequestedSession, SessionAuthorized,
    SessionClosed, SessionPaused, SessionProvisioned, SessionResumed, SessionStarted,
    TerminalRecorded, WholeList, WorkspaceCompared,
};

/// Version of the envelope.
pub const ENVELOPE_VERSION: u32 = 1;

/// Longest canonical event, in bytes: an entry of a C2SP tlog-tiles v0.1.0 bundle has a 16-bit length.
pub const MAX_EVENT_BYTES: usize = 65_535;

/// One entry of a record.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// [`ENVELOPE_VERSION`].
    pub v: u32,
    /// Its own id.
    pub id: EventId,
    /// The session that it belongs to.
    pub session: SessionId,
    /// Its place in the session's log, from 0 and without holes.
    pub seq: u64,
    /// RFC 6962 leaf hash of the entry before it; `null` at 0.
    pub prev: Option<Digest>,
    /// When it happened, as the keeper saw it.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// For whom: the requester of the session.
    pub on_behalf_of: Option<UserName>,
    /// Digest of the policy version in force.
    pub policy: Digest,
    /// The event that led to it.
    pub cause: Option<EventId>,
    /// What happened: `type` and `data`.
    #[serde(flatten)]
    pub body: Body,
    /// Larger content, by digest.
    pub blobs: Vec<BlobRef>,
}

/// An event before the journal gives it its place: everything but `v`, `id`, `session`, `seq`, `prev`, `on_behalf_of`
/// and `policy`.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// When it happened.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The event that led to it.
    pub cause: Option<EventId>,
    /// What happened.
    pub body: Body,
    /// Larger content, already stored, by digest.
    pub blobs: Vec<BlobRef>,
}

impl Draft {
    /// A draft without cause and blobs.
    #[must_use]
    pub fn new(time: Timestamp, actor: Actor, body: Body) -> Self {
        Self { time, actor, cause: None, body, blobs: Vec::new() }
    }
}

/// What happened. Closed: a reader of version 1 knows every type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
#[expect(missing_docs, reason = "each variant is documented at the type that it carries")]
pub enum Body {
    #[serde(rename = "session.authorized")]
    SessionAuthorized(SessionAuthorized),
    #[serde(rename = "session.provisioned")]
    SessionProvisioned(SessionProvisioned),
    #[serde(rename = "session.started")]
    SessionStarted(SessionStarted),
    #[serde(rename = "session.paused")]
    SessionPaused(SessionPaused),
    #[serde(rename = "session.resumed")]
    SessionResumed(SessionResumed),
    #[serde(rename = "session.closed")]
    SessionClosed(SessionClosed),
    #[serde(rename = "policy.decided")]
    PolicyDecided(PolicyDecided),
    #[serde(rename = "policy.violated")]
    PolicyViolated(PolicyViolated),
    #[serde(rename = "process.executed")]
    ProcessExecuted(ProcessExecuted),
    #[serde(rename = "process.exited")]
    ProcessExited(ProcessExited),
    #[serde(rename = "file.opened")]
    FileOpened(FileOpened),
    #[serde(rename = "file.reopened")]
    FileReopened(FileReopened),
    #[serde(rename = "file.written")]
    FileWritten(FileWritten),
    #[serde(rename = "file.renamed")]
    FileRenamed(FileRenamed),
    #[serde(rename = "file.removed")]
    FileRemoved(FileRemoved),
    #[serde(rename = "file.linked")]
    FileLinked(FileLinked),
    #[serde(rename = "file.symlinked")]
    FileSymlinked(FileSymlinked),
    #[serde(rename = "file.attributes_changed")]
    AttributesChanged(AttributesChanged),
    #[serde(rename = "file.denied")]
    FileDenied(FileDenied),
    #[serde(rename = "file.outside")]
    FileOutside(FileOutside),
    #[serde(rename = "egress.denied")]
    EgressDenied(EgressDenied),
    #[serde(rename = "terminal.recorded")]
    TerminalRecorded(TerminalRecorded),
    #[serde(rename = "workspace.compared")]
    WorkspaceCompared(WorkspaceCompared),
    #[serde(rename = "commit.created")]
    CommitCreated(CommitCreated),
    #[serde(rename = "redaction.applied")]
    RedactionApplied(RedactionApplied),
    #[serde(rename = "recorder.gap")]
    RecorderGap(Gap),
    #[serde(rename = "recorder.degraded")]
    RecorderDegraded(RecorderDegraded),
    #[serde(rename = "recorder.restored")]
    RecorderRestored(RecorderRestored),
}
