//! The public formats, checked with code that we did not write, and with bytes that nobody wrote.

mod samples;

use std::fs;

use custody_record::event::{Body, Draft, SessionPaused, SessionResumed};
use custody_record::seal::Envelope;
use custody_record::tlog::{Checkpoint, Note, Verifier};
use custody_record::{Event, EventError, Sink, SinkError, canonical};
use proptest::prelude::*;
use samples::{Place, golden, keys};

fn json() -> impl Strategy<Value = serde_json::Value> {
    let limit = i64::try_from(canonical::MAX_INTEGER).unwrap();
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-limit..=limit).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn canonical_json_is_that_of_another_implementation(value in json()) {
        prop_assert_eq!(canonical::to_vec(&value).unwrap(), serde_json_canonicalizer::to_vec(&value).unwrap());
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
        drop(Event::from_canonical(&bytes));
        drop(Note::parse(&bytes));
        drop(Envelope::parse(&bytes));
        let text = String::from_utf8_lossy(&bytes);
        drop(Checkpoint::parse(&text));
        drop(text.parse::<Verifier>());
    }

    #[test]
    fn a_changed_event_is_refused_or_is_another_event(
        line: proptest::sample::Index, at: proptest::sample::Index, byte: u8,
    ) {
        let entries = golden();
        let mut bytes = entries[line.index(entries.len())].clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(event) = Event::from_canonical(&bytes) {
            prop_assert_eq!(event.to_canonical().unwrap(), bytes);
        }
    }

    #[test]
    fn a_note_that_parses_is_written_the_same(name in "[a-z/]{1,9}", text in "[ -~]{0,20}", at: proptest::sample::Index, byte: u8) {
        let checkpoint = Checkpoint { origin: format!("{name}{}", text.replace([' ', '+'], "")), size: 7, root: custody_model::Digest::of(b"x") };
        let signed = checkpoint.sign(&keys());
        prop_assert_eq!(Checkpoint::open(&signed, &checkpoint.origin, &keys().verifier()), Ok(checkpoint.clone()));
        let mut changed = signed.clone();
        let at = at.index(changed.len());
        changed[at] = byte;
        if changed != signed {
            prop_assert!(Checkpoint::open(&changed, &checkpoint.origin, &keys().verifier()).is_err());
        }
    }
}

#[test]
fn every_other_character_of_a_key_hash_makes_a_note_worthless() {
    let checkpoint = Checkpoint {
        origin: "custody/0123456789abcdef/log".to_owned(),
        size: 7,
        root: custody_model::Digest::of(b"x"),
    };
    let signed = checkpoint.sign(&keys());
    let verifier = keys().verifier();
    let text = String::from_utf8(signed.clone()).unwrap();
    let mut tried = 0;
    // The hash is four bytes: five characters of base64 and a part of the sixth, which begins the signature.
    for (line, _) in text.match_indices('\u{2014}') {
        let hash = line + text[line..].match_indices(' ').nth(1).unwrap().0 + 1;
        for at in hash..hash + 7 {
            for byte in 0..=u8::MAX {
                let mut changed = signed.clone();
                changed[at] = byte;
                if changed != signed {
                    tried += 1;
                    let opened = Checkpoint::open(&changed, &checkpoint.origin, &verifier);
                    assert!(opened.is_err(), "byte {at} as {byte}: {opened:?}");
                }
            }
        }
    }
    assert_eq!(tried, 2 * 7 * 255);
}

#[test]
fn keys_sort_as_in_rfc_8785() {
    // Section 3.2.3, without the numbers.
    let input = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
        "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let value: serde_json::Value = serde_json::from_str(input).unwrap();
    let text = String::from_utf8(canonical::to_vec(&value).unwrap()).unwrap();
    let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With \
        Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
    assert_eq!(text, expected);
    // Section 3.2.2.2: how strings are written.
    let value: serde_json::Value =
        serde_json::from_str(r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#).unwrap();
    let text = String::from_utf8(canonical::to_vec(&value).unwrap()).unwrap();
    assert_eq!(text, "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
    assert!(canonical::to_vec(&1.5).is_err());
    assert!(canonical::to_vec(&(canonical::MAX_INTEGER + 1)).is_err());
}

#[test]
fn an_event_in_another_spelling_is_refused() {
    let line = String::from_utf8(golden()[3].clone()).unwrap();
    let refused = |text: String| Event::from_canonical(text.as_bytes()).unwrap_err();
    assert!(matches!(refused(line.replace("\"v\":1}", "\"v\":1,\"w\":1}")), EventError::Shape(_)));
    assert!(matches!(
        refused(line.replace("\"reason\":", "\"extra\":1,\"reason\":")),
        EventError::Shape(_)
    ));
    assert!(matches!(
        refused(line.replace("\"v\":1}", "\"v\": 1}")),
        EventError::NotCanonical { .. }
    ));
    assert!(matches!(
        refused(line.replace("backlog", "b\\u0061cklog")),
        EventError::NotCanonical { .. }
    ));
    assert!(matches!(refused(line.replace("\"v\":1}", "\"v\":2}")), EventError::Version(2)));
    assert!(matches!(
        refused(line.replace("session.paused", "session.slept")),
        EventError::Shape(_)
    ));
    assert!(matches!(refused(" ".repeat(70_000)), EventError::InputTooLong { size: 70_000 }));
}

#[test]
fn an_event_that_can_t_be_written_is_refused_by_name_and_leaves_no_hole() {
    let place = Place::new();
    let journal = place.journal();
    let resumed = Body::SessionResumed(SessionResumed { paused_micros: u64::MAX });
    let refused = journal.observe(Draft::new(samples::at(1), samples::process(), resumed));
    let Err(SinkError::Malformed(text)) = refused else { panic!("it was taken") };
    assert!(text.contains("session.resumed"), "{text}");
    let paused = Body::SessionPaused(SessionPaused { code: None, reason: "x".repeat(64_000) });
    journal.observe(Draft::new(samples::at(1), samples::process(), paused)).unwrap();
    assert_eq!(journal.head().unwrap().size, 1);
}

/// Reads our tiles for the other implementation.
struct Tiles(std::path::PathBuf);

impl tlog_tiles::TileReader for Tiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(
        &self,
        tiles: &[tlog_tiles::Tile],
    ) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
        // Its paths are those of Go's sumdb: tile/8/<level>/<index>.
        Ok(tiles
            .iter()
            .map(|t| fs::read(self.0.join(t.path().replacen("tile/8/", "tile/", 1))).unwrap())
            .collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn other_implementations_verify_our_checkpoint_and_prove_our_events() {
    let place = Place::new();
    let sealed = place.sealed(700);
    let bytes = fs::read(place.record.join("checkpoint")).unwrap();
    let origin = keys().verifier().session_origin(samples::session());
    let vkey = keys().verifier().named(&origin).to_string();
    let verifier = signed_note::StandardVerifier::new(&vkey).unwrap();
    let note = signed_note::Note::from_bytes(&bytes).unwrap();
    let (verified, unknown) =
        note.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).unwrap();
    // The other line is the same key's, under the installation's name.
    assert_eq!((verified.len(), unknown.len()), (1, 1));
    let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!(checkpoint.size(), sealed.head.size);
    assert_eq!(&checkpoint.hash().0, sealed.head.root.as_bytes());

    let tiles = Tiles(place.record.clone());
    let root = tlog_tiles::Hash(checkpoint.hash().0);
    let hashes = tlog_tiles::TileHashReader::new(checkpoint.size(), root, &tiles);
    let reader = custody_record::Reader::open(&place.record).unwrap();
    for seq in [0, 1, 255, 256, 511, 512, 702, 703] {
        let proof = tlog_tiles::prove_record(checkpoint.size(), seq, &hashes).unwrap();
        let entry = reader.entry(seq).unwrap().unwrap();
        let root = tlog_tiles::Hash(checkpoint.hash().0);
        tlog_tiles::check_record(
            &proof,
            checkpoint.size(),
            root,
            seq,
            tlog_tiles::record_hash(&entry),
        )
        .unwrap();
    }
    assert_eq!(reader.entry(704).unwrap(), None);
}

#[test]
fn the_key_that_is_handed_out_checks_every_note_with_a_tool_of_others() {
    let place = Place::new();
    place.sealed(3);
    let erasure = custody_record::Erasure {
        session: samples::session(),
        by: samples::user("admin"),
        at: samples::at(100),
        reason: "asked for".to_owned(),
        event: custody_model::EventId::new(samples::at(100), [1; 10]),
        seq: Some(7),
    };
    erasure.write(&place.record, &keys()).unwrap();
    let handed_out = fs::read_to_string(place.record.join("installation.vkey")).unwrap();
    for path in [
        place.record.join("checkpoint"),
        place.record.join("erasure.note"),
        place.log.join("checkpoint"),
    ] {
        let bytes = fs::read(&path).unwrap();
        let note = signed_note::Note::from_bytes(&bytes).unwrap();
        let known = signed_note::StandardVerifier::new(handed_out.trim()).unwrap();
        let known = signed_note::VerifierList::new(vec![Box::new(known)]);
        let (verified, _) = note.verify(&known).unwrap();
        assert_eq!(verified.len(), 1, "{}", path.display());
        // What is written under that name counts: a signature that does not fit spoils the note.
        let text = String::from_utf8(bytes).unwrap();
        let (first, last) = text.trim_end().rsplit_once('\n').unwrap();
        let at = last.len() - 8;
        let other = if last.as_bytes()[at] == b'A' { "B" } else { "A" };
        let spoiled = format!("{first}\n{}{other}{}\n", &last[..at], &last[at + 1..]);
        let spoiled = custody_record::tlog::Note::parse(spoiled.as_bytes()).unwrap();
        let name = spoiled.signatures()[0].name.clone();
        assert!(spoiled.verify(&keys().verifier().named(&name)).is_err(), "{}", path.display());
        // A note as the first records have it is good by the line under its own name.
        let old = custody_record::tlog::Note::parse(&samples::first_form(text.as_bytes())).unwrap();
        assert!(old.verify(&keys().verifier().named(&name)).is_ok(), "{}", path.display());
    }
}
