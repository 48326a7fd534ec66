//! Readers of the record's formats.

use custody_record::evidence::{EvidenceOptions, verify_evidence};
use custody_record::seal::Envelope;
use custody_record::tlog::{Checkpoint, Note, TlogPolicy, TlogProof};
use custody_record::verify::{Integrity, MAX_FINDINGS};
use custody_record::witness::AddCheckpoint;
use custody_record::{ControlEvent, Event, KeyChoice, KeyHistory};

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

/// A proof file (C2SP tlog-proof): what is taken has one spelling.
///
/// # Panics
/// If it has another.
pub fn proof(bytes: &[u8]) {
    let Ok(proof) = TlogProof::parse(bytes) else { return };
    assert_eq!(proof.to_bytes(), bytes, "a proof has one spelling");
}

/// What a witness is asked (C2SP tlog-witness): what is taken has one spelling.
///
/// # Panics
/// If it has another.
pub fn add_checkpoint(bytes: &[u8]) {
    let Ok(asked) = AddCheckpoint::parse(bytes) else { return };
    assert_eq!(asked.to_bytes(), bytes, "a request has one spelling");
}

/// A trust policy (C2SP tlog-policy): without a cosignature only `quorum none` holds.
///
/// # Panics
/// If another one does.
pub fn trust_policy(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(policy) = TlogPolicy::parse(text) else { return };
    let bare = b"example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\xe2\x80\x94 a AAAAAAAA\n";
    let note = Note::parse(bare).expect("a note");
    let judged = policy.judge(&note).expect("it has no line of a witness");
    assert_eq!(judged.enough, !policy.wants_witnesses(), "nobody cosigned it");
}

/// A history of keys: what is taken has one spelling.
///
/// # Panics
/// If it has another.
pub fn key_history(bytes: &[u8]) {
    let Ok(history) = KeyHistory::parse(bytes) else { return };
    let again = history.to_bytes().expect("a history that was read can be written");
    assert_eq!(again, bytes, "a history has one spelling");
}

/// An evidence pack: one that is intact says all that it shows, and one that is not says why, in few words.
///
/// # Panics
/// If it does not.
pub fn pack(bytes: &[u8]) {
    let report = verify_evidence(bytes, &EvidenceOptions::new(KeyChoice::Record));
    assert!(report.findings.len() <= MAX_FINDINGS, "it floods the report");
    match report.integrity {
        Integrity::Intact => {
            assert!(report.attested.is_some() && report.installation_log.is_some())
        }
        Integrity::Broken => assert!(!report.findings.is_empty(), "it does not say what is broken"),
    }
}
