//! An event of the control log at its place, without what has to go, and before it the event that tells what that was.
//!
//! Both are written together. A writer that dies between the two leaves an announcement without its event, which is no
//! entry for any reader (`pending`): so whoever repeats the act has it told once.

use custody_model::{Actor, Digest, EventId};

use super::body::ControlBody;
use super::event::{CONTROL_VERSION, ControlDraft, ControlEvent, ControlEventError};
use super::log::ControlLogError;
use crate::event::RedactionApplied;
use crate::redact::{Redactor, RedactorError};
use crate::tlog::leaf_hash;

/// What a draft became.
pub(super) struct Placed {
    /// Its event.
    pub(super) event: ControlEvent,
    /// The canonical bytes of the entries, in order: the event's are the last.
    pub(super) entries: Vec<Vec<u8>>,
}

/// Places a draft at `seq`, after an entry of the hash `prev`. What goes: the published patterns. Documents that the event names
/// are as their authors wrote them, for their digests count.
pub(super) fn place(
    draft: ControlDraft,
    seq: u64,
    prev: Option<Digest>,
    redactor: &Redactor,
) -> Result<Placed, ControlLogError> {
    let (mut event, mut redactions) = ControlEvent::place(draft, seq, prev);
    let entry = event.to_canonical().map_err(ControlLogError::Draft)?;
    if redactor.suspects(&entry) {
        let redacted = redactor.redact_document(&event.body, "");
        let redacted = redacted.map_err(ControlEventError::Redaction);
        if let Some((body, found)) = redacted.map_err(ControlLogError::Draft)? {
            event.body = body;
            redactions.extend(found);
        }
    }
    if redactions.is_empty() {
        return Ok(Placed { event, entries: vec![entry] });
    }
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(RedactorError::Random)?;
    let count = redactions.len() as u64;
    let announcement = ControlEvent {
        v: CONTROL_VERSION,
        id: EventId::new(event.time, random),
        seq,
        prev,
        time: event.time,
        actor: Actor::Server,
        via: None,
        cause: event.cause,
        body: ControlBody::RedactionApplied(RedactionApplied::about(event.id, count, redactions)),
        blobs: Vec::new(),
    };
    let first = announcement.to_canonical().map_err(ControlLogError::Draft)?;
    event = ControlEvent { seq: seq + 1, prev: Some(leaf_hash(&first)), ..event };
    let second = event.to_canonical().map_err(ControlLogError::Draft)?;
    Ok(Placed { event, entries: vec![first, second] })
}

/// Of which event an entry announces the redactions; `None` if it is no announcement.
pub(super) fn announced(entry: &[u8]) -> Option<EventId> {
    let event = ControlEvent::from_canonical(entry).ok()?;
    if let ControlBody::RedactionApplied(applied) = event.body { applied.event } else { None }
}
