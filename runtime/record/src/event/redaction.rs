//! What was taken out of the record before it was written.

use custody_model::{Digest, EventId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most redactions that one event lists; more are counted.
pub const MAX_REDACTIONS_TOLD: usize = 100;

/// One secret, at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// In which blob; absent if it stood in the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<Digest>,
    /// HMAC-SHA-256 of the secret under the session's salt, which is gone once the session's content is erased; in the control
    /// log, under the control plane's.
    pub digest: Digest,
    /// The rule (`aws-access-token`, …), the name of the policy's pattern, or `injected-value`.
    pub kind: String,
    /// Bytes of the marker in the blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Where the marker begins in the blob, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// In which string of the event (RFC 6901); absent if it stood in a blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// `redaction.applied`: stands right before the event that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedactionApplied {
    /// How many places in all.
    pub count: u64,
    /// The event whose strings or blobs they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// The first [`MAX_REDACTIONS_TOLD`], fewer where they have no room.
    pub redactions: Vec<Redaction>,
}

impl RedactionApplied {
    /// About all redactions of one event.
    pub(crate) fn about(event: EventId, count: u64, mut redactions: Vec<Redaction>) -> Self {
        redactions.truncate(MAX_REDACTIONS_TOLD);
        Self { count, event: Some(event), redactions }
    }
}
