//! The formats stay what they are: committed vectors and schemas are compared with what the code writes.

mod samples;

use std::collections::BTreeSet;
use std::fs;

use custody_record::Event;
use custody_record::event::EventType;
use custody_record::tlog::{Checkpoint, Verifier};

#[test]
fn golden_vectors_and_schemas_are_fresh() {
    for (path, bytes) in samples::generated() {
        let committed = fs::read(&path).unwrap();
        assert!(committed == bytes, "{} differs: run the example `generate`", path.display());
    }
}

#[test]
fn golden_events_are_read_and_written_byte_for_byte_and_cover_every_type() {
    let fixtures =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/record");
    let lines = fs::read(fixtures.join("events.jsonl")).unwrap();
    let mut types = BTreeSet::new();
    for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let event = Event::from_canonical(line).unwrap();
        assert_eq!(event.to_canonical().unwrap(), line);
        // The derived form, which APIs use, says the same.
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(serde_json::to_value(&event).unwrap(), value);
        assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), line);
        types.insert(event.body.event_type());
    }
    assert_eq!(types, EventType::ALL.iter().copied().collect());
    let verifier: Verifier =
        fs::read_to_string(fixtures.join("installation.vkey")).unwrap().trim().parse().unwrap();
    let origin = verifier.session_origin(samples::session());
    let checkpoint =
        Checkpoint::open(&fs::read(fixtures.join("checkpoint")).unwrap(), &origin, &verifier)
            .unwrap();
    let root = fs::read_to_string(fixtures.join("root.txt")).unwrap();
    assert_eq!(checkpoint.root.to_string(), root.trim());
}
