//! Contents count: what is done to a sealed blob is found by whoever has neither its key nor the installation, and a record that
//! can't tell says so first.

#[path = "../../record/tests/samples/mod.rs"]
mod samples;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use custody_model::Actor;
use custody_record::event::{BlobRef, Body, TerminalRecorded};
use custody_record::{Draft, Scope, Sink as _};
use samples::{Place, at, keys, observe, session};
use serde_json::Value;

const BROKEN: i32 = 68;

/// From a byte to more than a chunk of the cipher's, in what is stored as well: it can't be compressed.
const SIZES: [usize; 5] = [1, 40, 4096, 70_000, 200_000];

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tampering {
    Flip(usize),
    Truncate(usize),
    Extend,
    Empty,
    Swap,
    Exchange,
    Rename,
    Remove,
}

fn content(size: usize) -> Vec<u8> {
    let mut moments = samples::Moments::new(size as u64 + 1);
    (0..size).map(|_| moments.next().to_le_bytes()[0]).collect()
}

/// A sealed record with sealed contents, and one that is in the clear; `forget` is done to what events say of them.
fn recorded(forget: impl Fn(&mut BlobRef)) -> Place {
    let place = Place::new();
    let key = samples::vault(place.root.path()).make(Scope::Session(session())).unwrap();
    let journal = place.journal().with_key(key);
    observe(&journal, samples::authorized());
    let sealed = SIZES
        .map(|size| journal.blobs().put_bytes("terminal", "text/plain", &content(size)).unwrap());
    let clear = journal.blobs().in_the_clear();
    let clear = clear.put_bytes("files", "application/json", b"[]").unwrap();
    for mut blob in sealed.into_iter().chain([clear]) {
        forget(&mut blob);
        let body = TerminalRecorded { output_bytes: 1, input_bytes: 0, cut_bytes: 0 };
        let mut draft = Draft::new(at(1), Actor::Keeper, Body::TerminalRecorded(body));
        draft.blobs.push(blob);
        journal.observe(draft).unwrap();
    }
    observe(&journal, samples::closed(journal.counts()));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    place
}

/// The program's answer, as JSON or in words, without a vault.
fn verdict(place: &Place, json: bool) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_custody-verify"))
        .arg(&place.record)
        .args(["--key", &keys().vkey(), "--installation-log"])
        .arg(&place.log)
        .args(json.then_some("--json"))
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn blobs(place: &Place) -> Vec<PathBuf> {
    samples::files(&place.record).into_iter().filter(|path| path.starts_with("blobs")).collect()
}

/// Does it to `file`, with the help of `other`; the files that were there before.
fn tamper(file: &Path, other: &Path, tampering: Tampering) -> Vec<(PathBuf, Vec<u8>)> {
    let (bytes, others) = (fs::read(file).unwrap(), fs::read(other).unwrap());
    let length = bytes.len();
    match tampering {
        Tampering::Flip(at) => {
            let mut changed = bytes.clone();
            changed[at * (length - 1) / 8] ^= 1 << (at % 8);
            fs::write(file, changed).unwrap();
        }
        Tampering::Truncate(parts) => fs::write(file, &bytes[..length * parts / 4]).unwrap(),
        Tampering::Extend => fs::write(file, [bytes.as_slice(), b"\0"].concat()).unwrap(),
        Tampering::Empty => fs::write(file, b"").unwrap(),
        Tampering::Swap => fs::write(file, &others).unwrap(),
        Tampering::Exchange => {
            fs::write(file, &others).unwrap();
            fs::write(other, &bytes).unwrap();
        }
        Tampering::Rename => {
            let name = file.file_name().unwrap().to_str().unwrap();
            let digit = if name.ends_with('0') { "1" } else { "0" };
            let name = format!("{}{digit}", &name[..name.len() - 1]);
            fs::rename(file, file.with_file_name(name)).unwrap();
        }
        Tampering::Remove => fs::remove_file(file).unwrap(),
    }
    vec![(file.to_owned(), bytes), (other.to_owned(), others)]
}

#[test]
fn whatever_is_done_to_a_stored_blob_is_found_without_its_key() {
    let place = recorded(|_| {});
    let files = blobs(&place);
    assert_eq!(files.len(), SIZES.len() + 1);
    let mut ways: Vec<Tampering> = (0..=8).map(Tampering::Flip).collect();
    ways.extend((1..=3).map(Tampering::Truncate));
    ways.extend([Tampering::Extend, Tampering::Empty, Tampering::Swap, Tampering::Exchange]);
    ways.extend([Tampering::Rename, Tampering::Remove]);
    let mut done = 0;
    for (at, name) in files.iter().enumerate() {
        let file = place.record.join(name);
        let other = place.record.join(&files[(at + 1) % files.len()]);
        for way in &ways {
            let before = tamper(&file, &other, *way);
            let (code, answer) = verdict(&place, true);
            assert_eq!(code, Some(BROKEN), "{way:?} of {}\n{answer}", name.display());
            let answer: Value = serde_json::from_str(&answer).unwrap();
            let named = answer["findings"].as_array().unwrap().iter().any(|finding| {
                finding["concern"] == "integrity" && finding["file"] == name.to_str().unwrap()
            });
            assert!(named, "{way:?} of {} is not named: {answer:#}", name.display());
            for entry in fs::read_dir(file.parent().unwrap()).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            for (path, bytes) in before {
                fs::write(path, bytes).unwrap();
            }
            done += 1;
        }
    }
    assert_eq!(verdict(&place, true).0, Some(0));
    println!("{done} tamperings with {} stored blobs, each found without a vault", files.len());
}

#[test]
fn the_first_line_says_what_is_known_of_the_contents() {
    let first = |place: &Place| {
        let (code, words) = verdict(place, false);
        (code, words.lines().next().unwrap().to_owned())
    };
    let (code, line) = first(&recorded(|_| {}));
    assert_eq!(code, Some(0));
    assert!(line.contains("contents are stored as recorded, and were not opened"), "{line}");
    // As every record was at first: nothing says what the sealed files were, of all or of those before a newer keeper's.
    let without = |size: usize| {
        let digest = custody_model::Digest::of(&content(size));
        recorded(move |blob| {
            if blob.digest == digest {
                blob.stored = None;
            }
        })
    };
    for old in [recorded(|blob| blob.stored = None), without(SIZES[0])] {
        let (code, line) = first(&old);
        assert_eq!(code, Some(0));
        assert!(line.contains("CONTENTS WERE NOT CHECKED"), "{line}");
        fs::write(old.record.join(&blobs(&old)[0]), "x").unwrap();
    }
    // Who says it of one says it of all that follow: what has no sealed file is in the clear, and must be there.
    assert_eq!(first(&without(SIZES[2])).0, Some(BROKEN));
    let clear = Place::new();
    clear.sealed(1);
    let (_, line) = first(&clear);
    assert!(line.contains("contents are what was recorded"), "{line}");
}
