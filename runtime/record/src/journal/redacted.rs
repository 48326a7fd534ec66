//! The redaction of an event on its way into the journal, and the event that tells of it.

use custody_model::{Actor, EventId};

use crate::blob::Blobs;
use crate::event::{Body, Draft, EventType, Redaction, RedactionApplied};
use crate::redact::Redactor;
use crate::sink::SinkError;

/// The event without what has to go and the event that tells what that was; `None` if nothing has to. `data` is the canonical
/// form of its data: nothing else of it is redacted.
pub(super) fn redact(
    draft: &Draft,
    id: EventId,
    data: &[u8],
    redactor: &Redactor,
    blobs: &Blobs,
) -> Result<Option<(Draft, Draft)>, SinkError> {
    let mut told = Vec::new();
    let mut count = 0;
    if !draft.blobs.is_empty() {
        for redacted in blobs.take_redacted(&draft.blobs) {
            count += redacted.count;
            told.extend(redacted.marks.into_iter().map(|mark| Redaction {
                blob: Some(redacted.blob),
                digest: mark.digest,
                kind: mark.kind,
                length: Some(mark.range.len() as u64),
                offset: Some(mark.range.start as u64),
                pointer: None,
            }));
        }
    }
    let mut body = draft.body.clone();
    if redactor.suspects(data) {
        let wrong = |e: serde_json::Error| SinkError::Malformed(format!("redaction: {e}"));
        let mut value = serde_json::to_value(&body).map_err(wrong)?;
        if let Some(data) = value.get_mut("data") {
            let placed = redactor.redact_value(data, "/data");
            if !placed.is_empty() {
                body = serde_json::from_value(value).map_err(wrong)?;
            }
            count += placed.len() as u64;
            told.extend(placed);
        }
    }
    if count == 0 {
        return Ok(None);
    }
    if let Body::SessionClosed(closed) = &mut body {
        // It counts every event before it, and this one comes in between.
        *closed.counts.entry(EventType::RedactionApplied.as_str().to_owned()).or_insert(0) += 1;
    }
    let applied = Body::RedactionApplied(RedactionApplied::about(id, count, told));
    let applied = Draft::new(draft.time, Actor::Keeper, applied);
    let draft = Draft { body, ..draft.clone() };
    Ok(Some((draft, applied)))
}
