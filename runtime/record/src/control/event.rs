//! The events of the control log: who asked the control plane for what, from where, under which token, and what
//! came of it.
//!
//! Format: one JSON object in the canonical form of RFC 8785, at most [`crate::event::MAX_EVENT_BYTES`] bytes.
//! Envelope version 1. A missing value is an absent member, but `prev`, `via` and `cause`, which are `null`.

use custody_model::{Actor, Digest, EventId, Origin, Timestamp, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::ControlBody;
use crate::canonical::{self, CanonicalError};
use crate::event::{BlobRef, MAX_EVENT_BYTES, Redaction};

/// Version of the envelope.
pub const CONTROL_VERSION: u32 = 1;

/// From where, and under which token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Via {
    /// From where, and in which call.
    pub origin: Origin,
    /// The token; absent for the local operator, whom the kernel names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
}

/// One entry of the control log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ControlEvent {
    /// [`CONTROL_VERSION`].
    pub v: u32,
    /// Its own id.
    pub id: EventId,
    /// Its place in the log, from 0 and without holes.
    pub seq: u64,
    /// RFC 6962 leaf hash of the entry before it; `null` at 0.
    pub prev: Option<Digest>,
    /// When it was appended.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// From where; `null` for what the server does by itself.
    pub via: Option<Via>,
    /// The event that led to it.
    pub cause: Option<EventId>,
    /// What happened: `type` and `data`.
    #[serde(flatten)]
    pub body: ControlBody,
    /// Larger content, by digest.
    pub blobs: Vec<BlobRef>,
}

/// A control event before the log gives it its place.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlDraft {
    /// Its id, which its author may need before the event is durable.
    pub id: EventId,
    /// When it happened.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub via: Option<Via>,
    /// The event that led to it.
    pub cause: Option<EventId>,
    /// What happened.
    pub body: ControlBody,
    /// Larger content, already stored, by digest.
    pub blobs: Vec<BlobRef>,
    /// What its author took out of the body already. The log tells of it, and of what it takes out itself.
    pub redactions: Vec<Redaction>,
}

/// Why bytes are no control event, or an event can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ControlEventError {
    /// Not the JSON that is wanted.
    #[error("it is not a control event of version {CONTROL_VERSION}")]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("it has version {0}, and {CONTROL_VERSION} is known")]
    Version(u32),
    /// It says the same in another spelling, or has members that are not known.
    #[error("it is not in canonical form, or has unknown members")]
    NotCanonical,
    /// Longer than a log's entry may be.
    #[error("it has {0} bytes, and {MAX_EVENT_BYTES} are the most")]
    TooLong(usize),
    /// What is left without the credentials is no event any more.
    #[error("it can't be written without the credentials in it")]
    Redaction(#[source] serde_json::Error),
    /// It has no canonical form.
    #[error(transparent)]
    Encode(#[from] CanonicalError),
}

impl ControlEvent {
    /// The event that a draft becomes at its place, and what was taken out of it before.
    pub(super) fn place(
        draft: ControlDraft,
        seq: u64,
        prev: Option<Digest>,
    ) -> (Self, Vec<Redaction>) {
        let ControlDraft { id, time, actor, via, cause, body, blobs, redactions } = draft;
        let event =
            Self { v: CONTROL_VERSION, id, seq, prev, time, actor, via, cause, body, blobs };
        (event, redactions)
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`ControlEventError::TooLong`], [`ControlEventError::Encode`].
    pub fn to_canonical(&self) -> Result<Vec<u8>, ControlEventError> {
        let bytes = canonical::to_vec(self)?;
        if bytes.len() > MAX_EVENT_BYTES {
            return Err(ControlEventError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// Reads the one spelling that an event has.
    ///
    /// # Errors
    /// [`ControlEventError`].
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, ControlEventError> {
        let event: Self = serde_json::from_slice(bytes)?;
        if event.v != CONTROL_VERSION {
            return Err(ControlEventError::Version(event.v));
        }
        // A member that nobody knows is lost on the way, so that this finds it as well.
        if event.to_canonical()? != bytes {
            return Err(ControlEventError::NotCanonical);
        }
        Ok(event)
    }
}
