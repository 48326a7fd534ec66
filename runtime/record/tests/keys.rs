//! The installation's key can be replaced: what an earlier key signed stays good, what it signs afterwards does not.

mod samples;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use custody_model::{Actor, EventId};
use custody_record::control::{Call, ControlBody, ControlDraft, ControlLog, verify_control};
use custody_record::installation::InstallationLeaves;
use custody_record::seal::{Envelope, Statement};
use custody_record::tlog::{Checkpoint, CheckpointError, HISTORY_FILE, HistoryError};
use custody_record::{
    Code, Erasure, ErasureError, InstallationLog, Integrity, Journal, JournalHeader,
    JournalOptions, KeyChoice, KeyHistory, Keys, Report, SessionHead, Verifier, VerifyOptions,
    canonical, rotate, verify,
};
use samples::{at, authorized, closed, observe, opened};

struct House {
    dir: tempfile::TempDir,
    keys: Keys,
    log: InstallationLog,
    control: ControlLog,
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(&dir.path().join("keys")).unwrap();
        let log = InstallationLog::open(&dir.path().join("log"), &keys).unwrap();
        let vault = custody_record::Vault::open(&dir.path().join("vault")).unwrap();
        let vault = std::sync::Arc::new(vault);
        let control = ControlLog::open(&dir.path().join("control"), &keys, vault).unwrap();
        Self { dir, keys, log, control }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rotate(&self, second: i64) {
        rotate(&self.path("keys"), &self.log, &self.control, at(second)).unwrap();
    }

    fn verifier(&self) -> Verifier {
        Verifier::of_installation(&self.path("keys")).unwrap()
    }

    fn begin(&self, number: u8) -> Journal {
        let session = custody_model::SessionId::new(at(i64::from(number)), [number; 10]);
        let header = JournalHeader { session, ..samples::header() };
        let record = self.path(&format!("record-{number}"));
        let journal = Journal::create(&record, header, JournalOptions::default()).unwrap();
        observe(&journal, authorized());
        observe(&journal, opened("a"));
        journal
    }

    fn seal(&self, journal: Journal) {
        observe(&journal, closed(journal.counts()));
        journal.seal(&self.keys, &self.log).unwrap();
    }

    fn verify(&self, number: u8, key: KeyChoice) -> Report {
        let options = VerifyOptions::new(key).with_installation_log(&self.path("log"));
        verify(&self.path(&format!("record-{number}")), &options)
    }

    fn note(&self, number: u8) {
        let draft = ControlDraft {
            id: EventId::new(at(1), [number; 10]),
            time: at(1),
            actor: Actor::Server,
            via: None,
            cause: None,
            body: ControlBody::CallRequested(Call {
                operation: "x".to_owned(),
                parameters: [].into(),
                body: None,
            }),
            blobs: Vec::new(),
            redactions: Vec::new(),
        };
        self.control.append(vec![draft]).unwrap();
    }
}

#[test]
fn what_each_key_sealed_in_its_time_stays_good_and_open_handles_follow_the_rotation() {
    let house = House::new();
    let first = house.verifier();
    house.seal(house.begin(1));
    house.note(1);
    // Begun under the first key, sealed under the third, with handles that were opened before.
    let over = house.begin(2);
    house.rotate(10);
    house.seal(house.begin(3));
    house.note(2);
    house.rotate(20);
    house.seal(over);
    house.note(3);
    house.control.integrate().unwrap();
    let now = house.verifier();
    assert_eq!(now.keys().count(), 3);
    assert_ne!(now, first);
    let mut signers = Vec::new();
    for number in 1..=3 {
        let report = house.verify(number, KeyChoice::Installation(now.clone()));
        assert!(report.is_good(), "record {number}\n{report}");
        signers.push(report.key.unwrap());
    }
    let ids: Vec<String> = now.keys().map(|(key, _)| key.id()).collect();
    assert_eq!(signers, [ids[2].clone(), ids[0].clone(), ids[1].clone()], "each by the key then");
    let control = verify_control(&house.path("control"), &now).unwrap();
    assert_eq!((control.events, control.signed, control.findings.len()), (3, 3, 0));
    // Without the history nothing but the newest key's work is good, and with one that lacks the key nothing is.
    let alone = house.verify(1, KeyChoice::Given(now.alone()));
    assert_eq!(alone.integrity, Integrity::Broken);
    assert!(alone.findings.iter().any(|f| f.code == Code::CheckpointKeyUnknown), "{alone}");
    let stranger = Keys::from_seed(now.name(), [9; 32]).verifier();
    let history = KeyHistory::read(&house.path("keys")).unwrap();
    assert!(matches!(history.trusting(&stranger), Err(HistoryError::Unknown(_))));
    assert!(history.trusting(&first).unwrap().knows(&now), "one vouches for all");
    println!("3 keys, 3 records, {} control events", control.events);
}

#[test]
fn a_retired_key_can_neither_sign_new_heads_nor_seals() {
    let house = House::new();
    // Read apart from its place, so that it does not follow the rotation: a stolen copy.
    let stolen = copy(&house.path("keys"));
    let old = Keys::open(stolen.path()).unwrap();
    house.seal(house.begin(1));
    let kept = fs::read(house.path("log/checkpoint")).unwrap();
    house.rotate(10);
    house.seal(house.begin(2));
    let now = house.verifier();
    // A head that somebody kept from before is good …
    Checkpoint::open(&kept, &now.log_origin(), &now).unwrap();
    // … and one of today's size by the old key, which somebody stole, is not.
    let head = InstallationLeaves::read(&house.path("log"), &now, &[]).unwrap().checkpoint;
    let forged = head.sign(&old);
    let refused = Checkpoint::open(&forged, &now.log_origin(), &now);
    assert!(matches!(refused, Err(CheckpointError::OutOfTerm { .. })), "{refused:?}");
    // The same for a record: sealed again with the stolen key.
    let record = house.path("record-2");
    let path = record.join("seal.dsse.json");
    let payload = Envelope::parse(&fs::read(&path).unwrap()).unwrap().verify(&now).unwrap();
    let mut statement: Statement = serde_json::from_slice(&payload).unwrap();
    let origin = statement.predicate.log.origin.clone();
    let log = &statement.predicate.log;
    let checkpoint = Checkpoint { origin, size: log.size, root: log.root }.sign(&old);
    fs::write(record.join("checkpoint"), &checkpoint).unwrap();
    fs::write(record.join("installation.vkey"), format!("{}\n", old.verifier())).unwrap();
    let digest = custody_model::Digest::of(&checkpoint).hex();
    statement.subject.last_mut().unwrap().digest = [("sha256".to_owned(), digest)].into();
    let payload = canonical::to_vec(&statement).unwrap();
    fs::write(&path, Envelope::sign(&payload, &old).to_bytes().unwrap()).unwrap();
    let report = house.verify(2, KeyChoice::Installation(now));
    let codes: Vec<Code> = report.findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, [Code::KeyOutOfTerm], "{report}");
}

#[test]
fn a_rotation_that_was_cut_off_is_finished_or_never_was() {
    let house = House::new();
    house.seal(house.begin(1));
    let before = copy(&house.path("keys"));
    house.rotate(10);
    let after = copy(&house.path("keys"));
    let read = |dir: &tempfile::TempDir, name: &str| fs::read(dir.path().join(name)).unwrap();
    // Died after the next key was written: it is never used.
    let state = copy(before.path());
    fs::write(state.path().join("installation.key.next"), read(&after, "installation.key"))
        .unwrap();
    assert_eq!(Keys::open(state.path()).unwrap().vkey(), house.keys.vkey());
    // Died after the history was written: the next key is in force.
    fs::write(state.path().join(HISTORY_FILE), read(&after, HISTORY_FILE)).unwrap();
    let opened = Keys::open(state.path()).unwrap();
    assert_eq!(opened.verifier(), house.verifier());
    assert!(!state.path().join("installation.key.next").exists());
    assert_eq!(read(&state, "installation.vkey"), read(&after, "installation.vkey"));
    // The heads that were signed before are still good.
    InstallationLeaves::read(&house.path("log"), &opened.verifier(), &[]).unwrap();
    // A key that the history does not end with is refused.
    fs::write(state.path().join("installation.key"), read(&before, "installation.key")).unwrap();
    assert!(Keys::open(state.path()).is_err());
}

fn copy(dir: &std::path::Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in samples::files(dir) {
        fs::copy(dir.join(&file), to.path().join(&file)).unwrap();
    }
    to
}

#[test]
fn every_flipped_byte_of_a_history_is_refused() {
    let house = House::new();
    for second in [10, 20] {
        house.rotate(second);
    }
    let bytes = fs::read(house.path("keys").join(HISTORY_FILE)).unwrap();
    let newest = house.verifier();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let read = KeyHistory::parse(&changed).and_then(|history| history.trusting(&newest));
        assert!(read.is_err(), "byte {at}");
    }
    println!("{} flipped bytes of a history were refused", bytes.len());
    // A rotation left out, or two in another order.
    let mut file: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let rotations = file["rotations"].as_array_mut().unwrap();
    rotations.swap(0, 1);
    let mut swapped = canonical::to_vec(&file).unwrap();
    swapped.push(b'\n');
    assert!(matches!(KeyHistory::parse(&swapped), Err(HistoryError::Chain { at: 0 })));
}

#[test]
fn writers_go_on_while_the_key_is_rotated() {
    let house = Arc::new(House::new());
    std::thread::scope(|scope| {
        for thread in 0..3_u8 {
            let house = house.clone();
            scope.spawn(move || {
                // Handles of their own, as another process has.
                let keys = Keys::open(&house.path("keys")).unwrap();
                let log = InstallationLog::open(&house.path("log"), &keys).unwrap();
                for number in 0..15 {
                    let head = SessionHead {
                        session: samples::session(),
                        size: number,
                        root: custody_model::Digest::of(&[thread]),
                        time: at(1),
                        sealed: false,
                    };
                    log.append(&head).unwrap();
                    house.note(thread * 20 + u8::try_from(number).unwrap());
                    house.control.integrate().unwrap();
                }
            });
        }
        for second in 0..6 {
            house.rotate(second);
        }
    });
    let verifier = house.verifier();
    assert_eq!(verifier.keys().count(), 7);
    let leaves = InstallationLeaves::read(&house.path("log"), &verifier, &[]).unwrap().leaves.len();
    let control = verify_control(&house.path("control"), &verifier).unwrap();
    assert_eq!((leaves, control.events, control.findings.len()), (45, 45, 0));
    println!("{leaves} leaves and {} control events under 7 keys", control.events);
}

/// A note that says when the erasure was decided: by its place in the control log, or, before that was written, by the time.
fn erasure(second: i64, seq: Option<u64>) -> Erasure {
    Erasure {
        session: samples::session(),
        by: samples::user("admin"),
        at: at(second),
        reason: "asked for".to_owned(),
        event: EventId::new(at(second), [1; 10]),
        seq,
    }
}

#[test]
fn an_erasure_is_believed_of_the_key_that_was_in_force_when_it_was_decided() {
    let house = House::new();
    let record = house.path("record");
    fs::create_dir(&record).unwrap();
    let old = Keys::open(&house.path("keys")).unwrap();
    let first = house.verifier();
    house.note(1);
    house.note(2);
    house.rotate(10);
    house.note(3);
    let new = Keys::open(&house.path("keys")).unwrap();
    let now = house.verifier();
    assert_ne!(now, first);
    let genuine = |keys: &Keys, erasure: &Erasure, verifier: &Verifier| {
        erasure.write(&record, keys).unwrap();
        Erasure::genuine(&record, verifier)
    };
    // Decided before the rotation: the old key's note stays good, and so does the new key's, who completed it.
    for seq in [0, 1] {
        let decided = erasure(5, Some(seq));
        assert_eq!(genuine(&old, &decided, &first).unwrap().as_ref(), Some(&decided));
        assert_eq!(genuine(&old, &decided, &now).unwrap().as_ref(), Some(&decided));
        assert_eq!(genuine(&new, &decided, &now).unwrap().as_ref(), Some(&decided));
    }
    // Decided after it: who still has the old key erases nothing. What it says of the time does not help.
    for second in [5, 15] {
        let decided = erasure(second, Some(2));
        let refused = genuine(&old, &decided, &now);
        assert!(matches!(refused, Err(ErasureError::OutOfTerm { .. })), "{refused:?}");
        assert_eq!(genuine(&new, &decided, &now).unwrap(), Some(decided));
    }
    // Who knows only the new key knows nothing of the old one's time.
    let alone = genuine(&old, &erasure(5, Some(0)), &now.alone());
    assert!(matches!(alone, Err(ErasureError::Note(_))), "{alone:?}");
    // Notes that were written before they named the place are read by their time.
    assert!(genuine(&old, &erasure(5, None), &now).unwrap().is_some());
    let late = genuine(&old, &erasure(15, None), &now);
    assert!(matches!(late, Err(ErasureError::OutOfTerm { .. })), "{late:?}");
}
