//! Readers of the record's formats.

use custody_record::seal::Envelope;
use custody_record::tlog::{Checkpoint, Note};
use custody_record::{ControlEvent, Event};

/// An event of a session: what is taken is canonical.
///
/// # Panics
/// If it is not.
pub fn event(bytes: &[u8]) {
    let Ok(event) = Event::from_canonical(bytes) else { return };
    let again = event.to_canonical().expect("an event that was read can be written");
    assert_eq!(again, bytes, "an event has one spelling");
}

/// An event of the control log: what is taken is canonical.
///
/// # Panics
/// If it is not.
pub fn control_event(bytes: &[u8]) {
    let Ok(event) = ControlEvent::from_canonical(bytes) else { return };
    let again = event.to_canonical().expect("an event that was read can be written");
    assert_eq!(again, bytes, "an event has one spelling");
}

/// The text of a checkpoint (C2SP tlog-checkpoint): its first three lines have one spelling.
///
/// # Panics
/// If they do not.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(checkpoint) = Checkpoint::parse(text) else { return };
    let again = checkpoint.text();
    assert!(text.starts_with(&again), "{again:?} is not how {text:?} begins");
}

/// A signed note (C2SP signed-note): what is taken has one spelling.
///
/// # Panics
/// If it has another.
pub fn note(bytes: &[u8]) {
    let Ok(note) = Note::parse(bytes) else { return };
    assert_eq!(note.to_bytes(), bytes, "a note has one spelling");
}

/// A seal's DSSE envelope: what is taken is canonical.
///
/// # Panics
/// If it is not.
pub fn envelope(bytes: &[u8]) {
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    let again = envelope.to_bytes().expect("an envelope that was read can be written");
    assert_eq!(again, bytes, "an envelope has one spelling");
}
