//! A verifier that was written from `deploy/evidence.md` alone, in another language, agrees with the program on records and
//! packs, and on each that somebody tampered with.

#[path = "../../record/tests/samples/mod.rs"]
mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use custody_model::Actor;
use custody_record::event::{BlobRef, Body, TerminalRecorded};
use custody_record::evidence::{Pack, Selection, Source};
use custody_record::{Draft, KeyHistory, Scope, Sink as _};
use samples::{Place, at, keys, observe, session};
use serde_json::Value;

const GOOD: i32 = 0;
const BROKEN: i32 = 68;
const INCOMPLETE: i32 = 69;
const UNVOUCHED: i32 = 80;

/// The other verifier, which answers one question after the other.
struct Outsider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Outsider {
    fn new() -> Self {
        let program = std::env::current_exe().unwrap();
        let target = program.ancestors().nth(3).unwrap();
        let python = target.join("tools/formats/bin/python");
        assert!(python.is_file(), "{} is missing: run `make tools` first", python.display());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats/outsider.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg("batch")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn ask(&mut self, words: &[&str]) -> Value {
        writeln!(self.input, "{}", serde_json::to_string(words).unwrap()).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The exit code that both give.
    #[track_caller]
    fn agreed(&mut self, target: &Target, what: &str) -> i32 {
        let path = target.path.to_str().unwrap();
        let (key, log) = (keys().vkey(), target.log.as_ref().map(|log| log.to_str().unwrap()));
        let mut words = vec![path, "--key", &key];
        words.extend(log.map(|log| ["--installation-log", log]).into_iter().flatten());
        let theirs = self.ask(&[&[target.kind], words.as_slice()].concat());
        let ours = Command::new(env!("CARGO_BIN_EXE_custody-verify"))
            .args(&words)
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let code = ours.status.code().unwrap();
        assert_eq!(
            theirs["code"],
            code,
            "{what}: the other one says {theirs}\n{}",
            String::from_utf8_lossy(&ours.stdout)
        );
        code
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        // It may have ended.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What both are asked about.
struct Target {
    kind: &'static str,
    path: PathBuf,
    log: Option<PathBuf>,
}

impl Target {
    fn record(place: &Place) -> Self {
        Self { kind: "record", path: place.record.clone(), log: Some(place.log.clone()) }
    }

    fn pack(path: PathBuf) -> Self {
        Self { kind: "pack", path, log: None }
    }
}

/// A sealed record of 300 events and more, with sealed contents and one in the clear.
fn recorded(forget: impl Fn(&mut BlobRef)) -> Place {
    let place = Place::new();
    let key = samples::vault(place.root.path()).make(Scope::Session(session())).unwrap();
    let journal = place.journal().with_key(key);
    observe(&journal, samples::authorized());
    for number in 0..300 {
        observe(&journal, samples::opened(&format!("src/{number}.rs")));
    }
    let body = TerminalRecorded { output_bytes: 1, input_bytes: 0, cut_bytes: 0 };
    let mut draft = Draft::new(at(1), Actor::Keeper, Body::TerminalRecorded(body));
    for content in [b"first".as_slice(), b"second, which is longer"] {
        draft.blobs.push(journal.blobs().put_bytes("terminal", "text/plain", content).unwrap());
    }
    let clear = journal.blobs().in_the_clear();
    draft.blobs.push(clear.put_bytes("files", "application/json", b"[]").unwrap());
    draft.blobs.iter_mut().for_each(forget);
    journal.observe(draft).unwrap();
    observe(&journal, samples::commit());
    observe(&journal, samples::closed(journal.counts()));
    journal.seal(&keys(), &place.installation_log()).unwrap();
    place
}

fn pack(place: &Place, selection: &Selection, name: &str) -> PathBuf {
    let vault = samples::vault(place.root.path());
    let key = vault.key(Scope::Session(session())).unwrap();
    let history = KeyHistory::of(&keys().verifier());
    let (record, log) = (&*place.record, &*place.log);
    let source = Source { record, log, keys: &history, policy: None, content: key.as_ref() };
    let path = place.root.path().join(name);
    let _written = Pack::of(source, selection.clone())
        .unwrap()
        .write(fs::File::create(&path).unwrap())
        .unwrap();
    path
}

/// What is written in the place of a file.
fn changed(bytes: &[u8], flips: usize) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let step = (bytes.len() / flips).max(1);
    for at in (0..bytes.len()).step_by(step) {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1 << (at % 8);
        all.push((format!("byte {at} flipped"), flipped));
    }
    for part in 0..4 {
        let length = bytes.len() * part / 4;
        all.push((format!("cut at {length}"), bytes[..length].to_vec()));
    }
    all.push(("its last byte cut off".to_owned(), bytes[..bytes.len().saturating_sub(1)].to_vec()));
    all.push(("doubled".to_owned(), [bytes, bytes].concat()));
    all.push(("longer by a byte".to_owned(), [bytes, b"\0"].concat()));
    all
}

#[test]
fn the_other_verifier_agrees_on_records_and_on_everything_that_is_done_to_their_files() {
    let mut outsider = Outsider::new();
    let place = recorded(|_| {});
    let target = Target::record(&place);
    assert_eq!(outsider.agreed(&target, "as it is"), GOOD);
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    let below = |dir: &Path| -> Vec<PathBuf> {
        samples::files(dir).iter().map(|file| dir.join(file)).collect()
    };
    let files = [below(&place.record), below(&place.log)].concat();
    for (number, file) in files.iter().enumerate() {
        let original = fs::read(file).unwrap();
        for (what, bytes) in changed(&original, 12) {
            fs::write(file, bytes).unwrap();
            let code = outsider.agreed(&target, &format!("{}: {what}", file.display()));
            *counts.entry(code).or_default() += 1;
        }
        fs::remove_file(file).unwrap();
        let code = outsider.agreed(&target, &format!("{}: removed", file.display()));
        *counts.entry(code).or_default() += 1;
        let moved = file.with_extension("moved");
        fs::write(&moved, &original).unwrap();
        let code = outsider.agreed(&target, &format!("{}: moved", file.display()));
        *counts.entry(code).or_default() += 1;
        fs::remove_file(&moved).unwrap();
        let other = &files[(number + 1) % files.len()];
        let others = fs::read(other).unwrap();
        fs::write(file, &others).unwrap();
        fs::write(other, &original).unwrap();
        let code = outsider.agreed(&target, &format!("{}: exchanged", file.display()));
        *counts.entry(code).or_default() += 1;
        fs::write(file, &original).unwrap();
        fs::write(other, &others).unwrap();
    }
    assert_eq!(outsider.agreed(&target, "as it was"), GOOD);
    println!("verdicts on {} files, by exit code, alike: {counts:?}", files.len());
    assert!(counts[&BROKEN] > 10 * files.len());
}

#[test]
fn the_other_verifier_agrees_on_packs_and_on_everything_that_is_done_to_them() {
    let mut outsider = Outsider::new();
    let place = recorded(|_| {});
    let part = Selection { events: Some("2,299-301".parse().unwrap()), withhold_content: false };
    let none = Selection { events: Some("5".parse().unwrap()), withhold_content: true };
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for (name, selection) in [("all", Selection::default()), ("part", part), ("none", none)] {
        let target = Target::pack(pack(&place, &selection, name));
        assert_eq!(outsider.agreed(&target, name), GOOD);
        let original = fs::read(&target.path).unwrap();
        for (what, bytes) in changed(&original, 400) {
            fs::write(&target.path, bytes).unwrap();
            let code = outsider.agreed(&target, &format!("{name}: {what}"));
            *counts.entry(code).or_default() += 1;
        }
    }
    println!("verdicts on packs, by exit code, alike: {counts:?}");
    assert!(counts[&BROKEN] > 1000);
}

#[test]
fn the_other_verifier_agrees_on_old_records_and_on_incomplete_ones() {
    let mut outsider = Outsider::new();
    let old = recorded(|blob| blob.stored = None);
    let target = Target::record(&old);
    assert_eq!(outsider.agreed(&target, "nothing says what is stored"), GOOD);
    let checkpoint = old.record.join("checkpoint");
    let whole = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, samples::first_form(&whole)).unwrap();
    assert_eq!(outsider.agreed(&target, "the seal names another checkpoint"), BROKEN);
    fs::write(&checkpoint, whole).unwrap();
    let head = old.log.join("checkpoint");
    fs::write(&head, samples::first_form(&fs::read(&head).unwrap())).unwrap();
    assert_eq!(outsider.agreed(&target, "a note as at first"), GOOD);
    fs::remove_file(old.record.join("seal.dsse.json")).unwrap();
    assert_eq!(outsider.agreed(&target, "without its seal"), INCOMPLETE);
    let gap = Place::new();
    let journal = gap.journal();
    observe(&journal, samples::authorized());
    observe(&journal, samples::gap());
    observe(&journal, samples::closed(journal.counts()));
    journal.seal(&keys(), &gap.installation_log()).unwrap();
    assert_eq!(outsider.agreed(&Target::record(&gap), "with a gap"), INCOMPLETE);
    let pack = pack(&gap, &Selection::default(), "gap");
    assert_eq!(outsider.agreed(&Target::pack(pack), "with a gap"), INCOMPLETE);
}

#[test]
fn the_other_verifier_agrees_that_nobody_vouched_for_the_key() {
    let mut outsider = Outsider::new();
    let place = recorded(|_| {});
    let all = pack(&place, &Selection::default(), "all");
    for (kind, path) in [("record", &place.record), ("pack", &all)] {
        let path = path.to_str().unwrap();
        let ours = Command::new(env!("CARGO_BIN_EXE_custody-verify")).arg(path).output().unwrap();
        let theirs = outsider.ask(&[kind, path]);
        assert_eq!((ours.status.code(), &theirs["code"]), (Some(UNVOUCHED), &UNVOUCHED.into()));
    }
}

#[test]
fn the_other_verifier_checks_every_note_with_the_key_that_is_handed_out() {
    let mut outsider = Outsider::new();
    let place = recorded(|_| {});
    let key = keys().vkey();
    for note in [place.record.join("checkpoint"), place.log.join("checkpoint")] {
        let said = outsider.ask(&["note", note.to_str().unwrap(), "--key", &key]);
        assert_eq!(said["code"], GOOD, "{said}");
    }
}
