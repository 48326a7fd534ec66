//! The log of a session that lives: each of its heads proves what it has, goes on from those before it, and is kept by the
//! seal.

mod samples;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use custody_model::Digest;
use custody_record::living::{LIVING_CHECKPOINT, LivingLog, placed, publish};
use custody_record::tlog::{
    Checkpoint, TileHashes, TilePath, TlogProof, leaf_hash, prove_consistency, prove_inclusion,
    verify_consistency,
};
use custody_record::{
    Code, InstallationLog, Integrity, Journal, KeyChoice, Keys, VerifyOptions, verify,
};
use samples::{Place, at, authorized, closed, keys, observe, opened, session};

/// Fetches a tile, if it is there.
type Fetch<'a> = dyn Fn(&TilePath) -> Option<Vec<u8>> + 'a;

/// What a monitor has: heads that it was shown, and tiles as it asks for them.
struct Monitor<'a> {
    read: Box<Fetch<'a>>,
    seen: Vec<Checkpoint>,
}

impl Monitor<'_> {
    fn tree(&self, size: u64) -> TileHashes<'_> {
        TileHashes::by(size, |tile| {
            (self.read)(tile).ok_or_else(|| std::io::ErrorKind::NotFound.into())
        })
    }

    /// Checks a head against everything that was seen, and the proofs of some events.
    fn follow(&mut self, note: &[u8]) {
        let verifier = keys().verifier();
        let origin = verifier.session_origin(session());
        let head = Checkpoint::open(note, &origin, &verifier).unwrap();
        let tree = self.tree(head.size);
        for older in &self.seen {
            let proof = prove_consistency(&tree, older.size, head.size).unwrap();
            verify_consistency((older.size, older.root), (head.size, head.root), &proof).unwrap();
        }
        for index in [0, head.size / 2, head.size - 1] {
            let (tile, place) = TilePath::of_entry(index, head.size).unwrap();
            let bundle = (self.read)(&tile).unwrap();
            let entry = TilePath::entry(&bundle, place).unwrap();
            let hashes = prove_inclusion(&tree, index, head.size).unwrap();
            let proof = TlogProof { extra: None, index, hashes, checkpoint: note.to_vec() };
            let proved = proof.verify(leaf_hash(entry), &origin, &verifier).unwrap();
            assert_eq!(proved, head);
        }
        drop(tree);
        self.seen.push(head);
    }
}

fn grow(journal: &Journal, to: u64) {
    let now = journal.head().unwrap().size;
    for i in now..to {
        observe(journal, opened(&format!("src/{i}.rs")));
    }
}

fn show(journal: &Journal, log: &InstallationLog) -> Vec<u8> {
    let _ = publish(journal, log, 0, at(3)).unwrap().unwrap();
    fs::read(journal.dir().join(LIVING_CHECKPOINT)).unwrap()
}

#[test]
fn each_head_of_a_session_that_lives_proves_its_events_and_goes_on_from_those_before_it() {
    let place = Place::new();
    let (journal, log) = (place.journal(), place.installation_log());
    observe(&journal, authorized());
    assert_eq!(LivingLog::head(&place.record).unwrap(), None, "nothing is signed yet");
    let mut living = None;
    let mut monitor = {
        let _ = show(&journal, &log);
        let tiles = Mutex::new(LivingLog::open(&place.record).unwrap().unwrap());
        let record = place.record.clone();
        Monitor {
            read: Box::new(move |tile| {
                let note = LivingLog::head(&record).unwrap().unwrap();
                let size = Checkpoint::peek(&note).unwrap().size;
                tiles.lock().unwrap().read(tile, size).unwrap()
            }),
            seen: Vec::new(),
        }
    };
    for size in [1, 2, 17, 255, 256, 257, 511, 512, 700, 66_000] {
        grow(&journal, size);
        let note = show(&journal, &log);
        // What is appended and not signed is shown to nobody.
        grow(&journal, size + 1);
        monitor.follow(&note);
        assert_eq!(publish(&journal, &log, size + 1, at(4)).unwrap(), None, "nothing is new");
        let place = placed(&place.record).unwrap().unwrap();
        assert_eq!((place.head.size, place.position.size), (size, place.position.index + 1));
        let beyond: TilePath = TilePath::of_entry(size, size + 1).unwrap().0;
        assert_eq!((monitor.read)(&beyond), None, "{size}");
        living = Some(note);
    }
    let report = verify(&place.record, &options(&place));
    assert_eq!(report.integrity, Integrity::Intact, "{report}");

    // The seal keeps every head that was shown, and the tiles of each.
    observe(&journal, closed(journal.counts()));
    let sealed = journal.seal(&keys(), &log).unwrap();
    assert!(!place.record.join(LIVING_CHECKPOINT).exists());
    let of_seal = placed(&place.record).unwrap().unwrap();
    assert_eq!((of_seal.position, of_seal.head.root), (sealed.position, sealed.head.root));
    let seen = std::mem::take(&mut monitor.seen);
    let heads = seen.len();
    let record = place.record.clone();
    let mut monitor = Monitor { read: Box::new(move |tile| tile.read(&record).unwrap()), seen };
    monitor.follow(&LivingLog::head(&place.record).unwrap().unwrap());
    // Who still has an older head gets what belongs to it.
    monitor.seen = monitor.seen.split_off(heads - 1);
    monitor.seen.pop();
    let older = monitor.seen.pop().unwrap();
    monitor.follow(&living.unwrap());
    assert_eq!(monitor.seen.pop(), Some(older));
    let report = verify(&place.record, &options(&place));
    assert!(report.is_good() && report.findings.is_empty(), "{report}");
    println!("{heads} heads of a living log, each consistent with each before it");
}

fn options(place: &Place) -> VerifyOptions {
    VerifyOptions::new(KeyChoice::Given(keys().verifier())).with_installation_log(&place.log)
}

#[track_caller]
fn assert_found(record: &Path, code: Code) {
    let report = verify(record, &VerifyOptions::new(KeyChoice::Given(keys().verifier())));
    let found = |f: &custody_record::Finding| {
        f.code == code && f.file.as_deref() == Some(LIVING_CHECKPOINT)
    };
    assert!(report.findings.iter().any(found), "{code} is wanted\n{report}");
    assert_eq!(report.integrity, Integrity::Broken, "{report}");
}

#[test]
fn a_head_that_the_journal_does_not_have_is_named() {
    let place = Place::new();
    let (journal, log) = (place.journal(), place.installation_log());
    observe(&journal, authorized());
    grow(&journal, 20);
    let note = show(&journal, &log);
    let path = place.record.join(LIVING_CHECKPOINT);
    let head = Checkpoint::peek(&note).unwrap();
    let write = |head: &Checkpoint, keys: &Keys| fs::write(&path, head.sign(keys)).unwrap();
    write(&Checkpoint { size: 21, ..head.clone() }, &keys());
    assert_found(&place.record, Code::LogTruncated);
    write(&Checkpoint { root: Digest::of(b"another"), ..head.clone() }, &keys());
    assert_found(&place.record, Code::RootMismatch);
    write(&Checkpoint { origin: "example.com/other".to_owned(), ..head.clone() }, &keys());
    assert_found(&place.record, Code::CheckpointMalformed);
    write(&head, &Keys::from_seed("custody/0123456789abcdef", [8; 32]));
    assert_found(&place.record, Code::CheckpointKeyUnknown);
    fs::write(&path, "a head").unwrap();
    assert_found(&place.record, Code::CheckpointMalformed);
    let mut flipped = note.clone();
    let at = flipped.len() - 10;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    fs::write(&path, flipped).unwrap();
    assert_found(&place.record, Code::CheckpointSignature);
    // A journal that is shorter than a head that was shown.
    fs::write(&path, &note).unwrap();
    let journal = place.record.join("journal");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 3]).unwrap();
    assert_found(&place.record, Code::LogTruncated);
}
