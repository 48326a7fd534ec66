//! Signed notes by public vectors, cosignatures and trust policies by their specifications' words.

mod samples;

use std::fs;
use std::path::Path;

use custody_record::tlog::{
    Checkpoint, Cosigner, Judged, Note, NoteError, TlogPolicy, Verifier, WitnessKey,
};
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use samples::keys;
use serde::Deserialize;

/// See the README beside them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    vkey: String,
    note: String,
    verdict: String,
}

#[test]
fn notes_are_judged_as_the_public_vectors_say() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/signed-note/vectors.json");
    let vectors: Vec<Vector> = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    for vector in &vectors {
        let verifier: Verifier = vector.vkey.parse().unwrap();
        assert_eq!(verifier.to_string(), vector.vkey);
        let verdict = match Note::parse(vector.note.as_bytes()) {
            Ok(note) => match note.verify(&verifier) {
                Ok(_) => "verified",
                Err(NoteError::UnknownKey(_)) => "unknown key",
                Err(NoteError::BadSignature(_)) => "bad signature",
                Err(NoteError::TooLong | NoteError::Malformed(_)) => "malformed",
            },
            Err(_) => "malformed",
        };
        assert_eq!(verdict, vector.verdict, "{}", vector.name);
    }
    println!("{} notes judged", vectors.len());
}

fn witness(n: u8) -> WitnessKey {
    WitnessKey::from_seed(&format!("witness.example/w{n}"), [n; 32]).unwrap()
}

fn head(size: u64) -> Checkpoint {
    Checkpoint {
        origin: "example.com/behind-the-sofa".to_owned(),
        size,
        root: custody_model::Digest::of(b"root"),
    }
}

#[test]
fn a_cosignature_signs_the_words_of_the_specification() {
    const TIME: u64 = 1_679_315_147;
    let signed = head(20_852_163).sign(&keys());
    let mut note = Note::parse(&signed).unwrap();
    let key = witness(1);
    note.add(key.cosign(&note, TIME));
    assert_eq!(key.cosigner().cosigned(&note), Ok(Some(TIME)));
    // By hand: a header, the time, the body of the note; then time and signature, under a key id of its own type.
    let message = format!("cosignature/v1\ntime 1679315147\n{}", note.text());
    let signature = SigningKey::from_bytes(&[1; 32]).sign(message.as_bytes()).to_bytes();
    let line = note.signatures().last().unwrap();
    assert_eq!(line.signature[..8], TIME.to_be_bytes());
    assert_eq!(line.signature[8..], signature);
    let public = SigningKey::from_bytes(&[1; 32]).verifying_key();
    let id = [b"witness.example/w1\n\x04".as_slice(), public.as_bytes()].concat();
    assert_eq!(line.hash, custody_model::Digest::of(&id).as_bytes()[..4]);
    // A log's readers ignore it, and other tools for notes read the whole.
    assert!(Checkpoint::open(&note.to_bytes(), &head(1).origin, &keys().verifier()).is_ok());
    let theirs = signed_note::Note::from_bytes(&note.to_bytes()).unwrap();
    assert_eq!(theirs.text(), note.text().as_bytes());

    let vkey = key.cosigner().to_string();
    assert_eq!(vkey.parse::<Cosigner>(), Ok(key.cosigner()));
    assert!(vkey.parse::<Verifier>().is_err(), "it signs no notes");
    assert!(keys().vkey().parse::<Cosigner>().is_err(), "a log is no witness");
    assert_eq!(WitnessKey::parse(&key.private_text()).unwrap().cosigner(), key.cosigner());
    assert!(WitnessKey::from_seed("a name", [1; 32]).is_none());
}

#[test]
fn a_cosignature_of_another_head_time_or_key_is_refused() {
    let mut note = Note::parse(&head(5).sign(&keys())).unwrap();
    let other = Note::parse(&head(6).sign(&keys())).unwrap();
    assert_eq!(witness(1).cosigner().cosigned(&note), Ok(None));
    let mut line = witness(1).cosign(&note, 7);
    line.signature[7] ^= 1;
    for bad in [witness(1).cosign(&other, 7), line, witness(1).cosign(&note, 0)] {
        let mut note = note.clone();
        note.add(bad);
        assert!(matches!(witness(1).cosigner().cosigned(&note), Err(NoteError::BadSignature(_))));
        assert_eq!(witness(2).cosigner().cosigned(&note), Ok(None), "unknown lines are ignored");
    }
    note.add(witness(1).cosign(&note, 7));
    note.add(witness(1).cosign(&note, 9));
    assert_eq!(witness(1).cosigner().cosigned(&note), Ok(Some(9)));
}

/// The example of the specification, with keys and URLs.
fn example() -> String {
    let mut text = format!("# two organisations\nlog {}\n\n", keys().vkey());
    for (letter, from) in [("X", 1), ("Y", 4)] {
        for n in 0..3 {
            let key = witness(from + n).cosigner();
            text.push_str(&format!(
                " witness\t{letter}{} {key} https://w.example/{letter}{n}  \n",
                n + 1
            ));
        }
    }
    text.push_str(
        "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\n\
         quorum X-and-Y\n",
    );
    text
}

#[test]
fn a_policy_wants_the_quorum_that_it_says() {
    let policy = TlogPolicy::parse(&example()).unwrap();
    assert_eq!(policy.witnesses().len(), 6);
    assert_eq!(policy.witnesses()[4].url.as_deref(), Some("https://w.example/Y1"));
    assert_eq!(policy.logs().next(), Some(&keys().verifier()));
    let bare = Note::parse(&head(9).sign(&keys())).unwrap();
    let mut enough = 0;
    for set in 0_u8..64 {
        let mut note = bare.clone();
        for n in (0..6).filter(|n| set & (1 << n) != 0) {
            note.add(witness(n + 1).cosign(&note, 100 + u64::from(n)));
        }
        let Judged { cosigned, enough: holds } = policy.judge(&note).unwrap();
        assert_eq!(cosigned.len(), set.count_ones() as usize);
        assert_eq!(holds, (set & 7).count_ones() >= 2 && (set & 56) != 0, "{set:06b}");
        enough += u8::from(holds);
    }
    println!("{enough} of 64 sets of witnesses are a quorum");
    let none = TlogPolicy::parse("quorum none\n").unwrap();
    assert_eq!(none.judge(&bare), Ok(Judged { cosigned: Vec::new(), enough: true }));
    assert!(!none.wants_witnesses());
}

#[test]
fn what_is_no_policy_is_refused_at_its_line() {
    let (a, b) = (witness(1).cosigner().to_string(), witness(2).cosigner().to_string());
    let renamed = WitnessKey::from_seed("another.name", [1; 32]).unwrap().cosigner();
    for (line, text) in [
        (0, String::new()),
        (0, "# nothing\n".to_owned()),
        (2, "quorum none\nquorum none\n".to_owned()),
        (1, "quorum w\n".to_owned()),
        (1, format!("quorum w\nwitness w {a}\n")),
        (2, format!("witness w {a}\nwitness w {b}\nquorum w\n")),
        (2, format!("witness w {a}\nwitness v {renamed}\nquorum w\n")),
        (1, format!("witness none {a}\nquorum none\n")),
        (1, "witness w key\nquorum w\n".to_owned()),
        (1, format!("witness w {a} https://x y\nquorum w\n")),
        (1, format!("log {a}\nquorum none\n")),
        (2, format!("witness w {a}\ngroup g 2 w\nquorum g\n")),
        (2, format!("witness w {a}\ngroup g 0 w\nquorum g\n")),
        (2, format!("witness w {a}\ngroup g 01 w\nquorum g\n")),
        (2, format!("witness w {a}\ngroup g any w w\nquorum g\n")),
        (3, format!("witness w {a}\ngroup g any w\ngroup h any w\nquorum g\n")),
        (1, "group g any g\nquorum g\n".to_owned()),
        (2, format!("witness w {a}\ngroup g any none\nquorum g\n")),
        (2, format!("witness w {a}\ngroup g any\nquorum g\n")),
        (1, "quorum none\r\n".to_owned()),
        (1, "trust everybody\nquorum none\n".to_owned()),
        (2, format!("log {k}\nlog {k}\nquorum none\n", k = keys().vkey())),
    ] {
        let error = TlogPolicy::parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text: String, words in "(log |witness |group |quorum |any |none|[a-z]|\n){0,30}") {
        drop(TlogPolicy::parse(&text));
        drop(TlogPolicy::parse(&words));
        drop(text.parse::<Cosigner>());
        drop(WitnessKey::parse(&text));
    }
}
