//! The strict reader and serde's decode, encode and compare accept the same bytes as the same events.

use proptest::prelude::*;
use serde_json::Value;

use super::{Event, members};
use crate::canonical;

/// One canonical event of every type.
const GOLDEN: &str = include_str!("../../../../tests/fixtures/record/events.jsonl");

#[track_caller]
fn agree(bytes: &[u8]) -> bool {
    let (strict, slow) = (Event::read_strictly(bytes), Event::read_and_compare(bytes).ok());
    assert_eq!(strict, slow, "{}", String::from_utf8_lossy(bytes));
    if let Some(event) = &strict {
        assert_eq!(event.to_canonical().unwrap(), bytes);
    }
    strict.is_some()
}

fn in_two_threads(check: impl Fn(&[u8]) + Sync) {
    std::thread::scope(|scope| {
        for part in 0..2 {
            let check = &check;
            let lines = GOLDEN.lines().skip(part).step_by(2);
            scope.spawn(move || lines.for_each(|line| check(line.as_bytes())));
        }
    });
}

#[test]
fn every_golden_event_is_read_in_both_ways() {
    assert_eq!(GOLDEN.lines().filter(|line| agree(line.as_bytes())).count(), 28);
}

#[test]
fn members_are_written_in_canonical_order_and_names_as_serde_spells_them() {
    for members in members::MEMBERS {
        assert!(members.is_sorted(), "{members:?}");
    }
    for (ours, serde) in members::spellings() {
        assert_eq!(ours, serde);
    }
}

#[test]
fn both_ways_agree_on_every_flipped_bit() {
    in_two_threads(|line| {
        let mut bytes = line.to_vec();
        for bit in 0..line.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            agree(&bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    });
}

#[test]
fn both_ways_agree_on_what_an_event_says_of_a_sealed_file() {
    let line = GOLDEN.lines().find(|line| line.contains(r#""role":"terminal""#)).unwrap();
    let hex = "5a".repeat(32);
    let stored = format!(r#""size":8,"stored":{{"digest":"sha256:{hex}","name":"{hex}"}}"#);
    let mut bytes = line.replacen(r#""size":8"#, &stored, 1).into_bytes();
    assert!(agree(&bytes));
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        agree(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn both_ways_agree_on_what_an_event_says_in_codes() {
    let table = [
        ("session.closed", "code", "limit_reached", "dreamt"),
        ("session.closed", "limit", "wall_seconds", "seconds"),
        ("session.paused", "code", "backlog", "lunch"),
        ("recorder.gap", "code", "keeper_lost", "lost"),
        ("session.provisioned", "mediation_reason", "4097 guarded paths", ""),
    ];
    for (kind, member, known, foreign) in table {
        let line = GOLDEN.lines().find(|line| line.contains(&format!(r#""type":"{kind}""#)));
        let event: Value = serde_json::from_str(line.unwrap()).unwrap();
        let with = |value: &str| {
            let mut event = event.clone();
            event["data"][member] = value.into();
            canonical::to_vec(&event).unwrap()
        };
        assert!(agree(&with(known)), "{kind} {member} {known}");
        // Words are free; a code that is none is no event of this version.
        assert_eq!(agree(&with(foreign)), foreign.is_empty(), "{kind} {member} {foreign}");
    }
}

#[test]
fn both_ways_agree_on_every_removed_doubled_and_inserted_byte() {
    in_two_threads(|line| {
        for at in 0..line.len() {
            let (before, after) = line.split_at(at);
            agree(&[before, &after[1..]].concat());
            for inserted in [&after[..1], b" ", b",", b"0", b"\\", b"\x7f", "\u{e9}".as_bytes()] {
                agree(&[before, inserted, after].concat());
            }
            assert!(!agree(before));
        }
    });
}

/// Replaces, removes or adds the member that `at` counts to; whether there was one.
fn change(value: &mut Value, at: &mut usize, new: &Option<Value>, name: &str) -> bool {
    match value {
        Value::Object(map) => {
            if *at == 0 {
                map.insert(name.to_owned(), new.clone().unwrap_or(Value::Null));
                return true;
            }
            *at -= 1;
            for key in map.keys().cloned().collect::<Vec<_>>() {
                if *at == 0 {
                    match new {
                        Some(new) => drop(map.insert(key, new.clone())),
                        None => drop(map.remove(&key)),
                    }
                    return true;
                }
                *at -= 1;
                if map.get_mut(&key).is_some_and(|inner| change(inner, at, new, name)) {
                    return true;
                }
            }
            false
        }
        Value::Array(values) => values.iter_mut().any(|inner| change(inner, at, new, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn value() -> impl Strategy<Value = Option<Value>> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z/%0-9A-F.]{0,12}",
        "[\\x00-\\x20\"\\\\/\\x7f]{0,4}",
        "[a-f0-9]{40}",
        "sha256:[a-f0-9]{64}",
        "[0-9]{4}-0[0-9]-[0-3][0-9]T0[0-9]:[0-6]0:[0-6]0\\.[0-9]{6}Z",
        "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        Just("read".to_owned()),
        Just("file".to_owned()),
    ];
    let number = prop_oneof![
        0..300_i64,
        any::<i64>().prop_map(|n| n >> 11),
        Just(canonical::MAX_INTEGER.cast_signed()),
    ];
    prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        any::<bool>().prop_map(|b| Some(b.into())),
        number.prop_map(|n| Some(n.into())),
        text.clone().prop_map(|t| Some(t.into())),
        proptest::collection::vec(text.clone(), 0..3).prop_map(|v| Some(v.into())),
        proptest::collection::btree_map(text, 0..5_u32, 0..4).prop_map(|map| Some(Value::Object(
            map.into_iter().map(|(k, v)| (k, v.into())).collect()
        ))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// The form is canonical; what it says is of the wrong shape now and then.
    #[test]
    fn both_ways_agree_on_canonical_json_of_almost_the_shape(
        line in 0..24_usize, at in 0..60_usize, new in value(),
        name in "(size|digest|git_blob|open|before|target|argv_cut|argv_whole|code|limit|mediation_reason|image|host|w|mode|from|exit|[a-z]{1,4})",
    ) {
        let mut event: Value = serde_json::from_str(GOLDEN.lines().nth(line).unwrap()).unwrap();
        change(&mut event, &mut { at }, &new, &name);
        agree(&canonical::to_vec(&event).unwrap());
        agree(&serde_json::to_vec(&event).unwrap());
    }

    #[test]
    fn both_ways_agree_on_changed_bytes(
        line in 0..24_usize, at: proptest::sample::Index, with in "[\"\\\\{}\\[\\]:,a-f0-9\\x00-\\x20\u{80}-\u{ff}un]{0,6}", cut in 0..4_usize,
    ) {
        let line = GOLDEN.lines().nth(line).unwrap().as_bytes();
        let at = at.index(line.len());
        let rest = &line[(at + cut).min(line.len())..];
        agree(&[&line[..at], with.as_bytes(), rest].concat());
    }

    #[test]
    fn both_ways_agree_on_any_bytes(bytes: Vec<u8>, text in "[\"{}:,a-z0-9\\\\]{0,40}") {
        agree(&bytes);
        agree(text.as_bytes());
    }
}
