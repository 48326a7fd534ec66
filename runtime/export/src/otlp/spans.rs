//! Spans as OTLP/JSON spells them: ids in hexadecimal, times in nanoseconds as text.

use custody_model::{SessionId, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// `SPAN_KIND_INTERNAL`: agents run in the installation itself.
const INTERNAL: u32 = 1;

/// The id of a session's trace: the session's own, which has 16 bytes too.
#[derive(Clone, Debug)]
pub(super) struct TraceId {
    pub(super) session: String,
    hex: String,
}

impl TraceId {
    pub(super) fn of(session: SessionId) -> Self {
        let session = session.to_string();
        let hex = session.replace('-', "");
        Self { session, hex }
    }
}

/// The id of a span: the same whenever the record is exported, so that a second export adds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpanId([u8; 8]);

impl SpanId {
    pub(super) fn of(text: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let mut id = *digest.first_chunk().unwrap_or(&[0; 8]);
        // All zeroes would be none.
        id[7] |= u8::from(id == [0; 8]);
        Self(id)
    }
}

pub(super) fn nanos(at: Timestamp) -> String {
    (i128::from(at.as_micros()) * 1000).max(0).to_string()
}

/// A span that has begun.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) id: SpanId,
    pub(super) parent: SpanId,
    pub(super) name: String,
    pub(super) began: Timestamp,
    pub(super) attributes: Vec<Value>,
}

impl Span {
    pub(super) fn finished(self, trace: &TraceId, at: Timestamp) -> Value {
        json!({
            "traceId": trace.hex,
            "spanId": hex::encode(self.id.0),
            "parentSpanId": hex::encode(self.parent.0),
            "name": self.name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanos(self.began),
            "endTimeUnixNano": nanos(at.max(self.began)),
            "attributes": self.attributes,
        })
    }

    /// The span that is below none.
    pub(super) fn finished_root(
        self,
        trace: &TraceId,
        at: Timestamp,
        events: Vec<Value>,
        status: Value,
    ) -> Value {
        let mut span = self.finished(trace, at);
        if let Some(members) = span.as_object_mut() {
            members.remove("parentSpanId");
            members.insert("events".to_owned(), Value::Array(events));
            members.insert("status".to_owned(), status);
        }
        span
    }
}
