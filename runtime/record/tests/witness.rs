//! A witness's memory: what it cosigns, what it refuses and how, and that it forgets nothing.

mod samples;

use std::fs;

use custody_model::Digest;
use custody_record::tlog::{
    Checkpoint, Keys, Note, TlogPolicy, TreeHashes, WitnessKey, leaf_hash, prove_consistency,
    root_at, root_of,
};
use custody_record::witness::{
    AddCheckpoint, Ledger, LedgerError, Refusal, WitnessAssurance, WitnessLevel, store_cosigned,
};
use proptest::prelude::*;

const ORIGIN: &str = "example.com/log";

/// A log whose owner may say different things to different people.
struct Log(Vec<Digest>);

impl TreeHashes for Log {
    type Error = std::convert::Infallible;

    fn hash(&self, level: u32, index: u64) -> Result<Digest, Self::Error> {
        let from = usize::try_from(index << level).unwrap();
        Ok(root_of(&self.0[from..from + (1 << level)]))
    }
}

fn keys() -> Keys {
    Keys::from_seed(ORIGIN, [3; 32])
}

impl Log {
    /// The first `same` entries are those of every log here.
    fn new(size: u64, same: u64, flavour: &str) -> Self {
        let entry = |n| if n < same { format!("{n}") } else { format!("{n} {flavour}") };
        Self((0..size).map(|n| leaf_hash(entry(n).as_bytes())).collect())
    }

    fn head(&self, size: u64) -> Checkpoint {
        Checkpoint { origin: ORIGIN.to_owned(), size, root: root_at(self, size).unwrap() }
    }

    fn ask(&self, old: u64, size: u64) -> AddCheckpoint {
        let proof = prove_consistency(self, old, size).unwrap();
        AddCheckpoint { old, proof, checkpoint: self.head(size).sign(&keys()) }
    }
}

fn key() -> WitnessKey {
    WitnessKey::from_seed("witness.example/w1", [9; 32]).unwrap()
}

fn open(dir: &std::path::Path) -> Ledger {
    Ledger::open(dir, key(), vec![keys().verifier()]).unwrap()
}

fn status(ledger: &Ledger, asked: &AddCheckpoint) -> u16 {
    match ledger.add(&asked.to_bytes(), 77) {
        Ok(_) => 200,
        Err(refusal) => refusal.status(),
    }
}

#[test]
fn what_goes_on_is_cosigned_and_everything_else_gets_its_status() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let (log, fork) = (Log::new(40, 40, ""), Log::new(40, 5, "forked"));
    let first = log.ask(0, 7);
    let line = ledger.add(&first.to_bytes(), 77).unwrap();
    let cosigned = [first.checkpoint.clone(), line.into_bytes()].concat();
    assert_eq!(key().cosigner().cosigned(&Note::parse(&cosigned).unwrap()), Ok(Some(77)));
    assert_eq!(status(&ledger, &log.ask(7, 7)), 200, "the same head again");
    assert_eq!(status(&ledger, &log.ask(7, 20)), 200);

    let refused = ledger.add(&log.ask(7, 21).to_bytes(), 77).unwrap_err();
    assert!(matches!(refused, Refusal::Conflict { size: 20 }), "{refused}");
    let changed = |asked: AddCheckpoint, change: &dyn Fn(&mut AddCheckpoint)| {
        let mut asked = asked;
        change(&mut asked);
        status(&ledger, &asked)
    };
    let note = |bytes: Vec<u8>| move |asked: &mut AddCheckpoint| asked.checkpoint = bytes.clone();
    // Forks: of the same size, of a later one with a proof of its own, and with no proof.
    assert_eq!(status(&ledger, &fork.ask(20, 20)), 422);
    assert_eq!(status(&ledger, &fork.ask(20, 30)), 422);
    assert_eq!(changed(log.ask(20, 30), &|asked| asked.proof.clear()), 422);
    assert_eq!(changed(log.ask(20, 20), &|asked| asked.proof.push(Digest::of(b""))), 422);
    assert_eq!(changed(log.ask(20, 30), &|asked| asked.old = 31), 400);
    assert_eq!(changed(log.ask(20, 30), &|asked| asked.old = 0), 409);
    let stranger = Keys::from_seed(ORIGIN, [4; 32]);
    assert_eq!(changed(log.ask(20, 30), &note(log.head(30).sign(&stranger))), 403);
    let mut damaged = log.head(30).sign(&keys());
    let at = damaged.len() - 10;
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    assert_eq!(changed(log.ask(20, 30), &note(damaged)), 403);
    let elsewhere = Checkpoint { origin: "example.com/other".to_owned(), ..log.head(30) };
    assert_eq!(changed(log.ask(20, 30), &note(elsewhere.sign(&keys()))), 404);
    assert_eq!(changed(log.ask(20, 30), &note(b"a checkpoint".to_vec())), 400);
    for body in ["", "old 20", "old 020\n\n", "old -1\n\nx", "old 20\nhash\n\nx", "new 20\n\nx"] {
        assert_eq!(ledger.add(body.as_bytes(), 77).unwrap_err().status(), 400, "{body:?}");
    }
    let mut long = log.ask(20, 30);
    long.proof = vec![Digest::of(b""); 64];
    assert_eq!(status(&ledger, &long), 400, "no more than 63 hashes");
    // None of it moved the witness.
    assert_eq!(status(&ledger, &log.ask(20, 40)), 200);
    // The proof of the last fork is kept, and who follows the witness sees the newest head with both signatures.
    let hash = Digest::of(ORIGIN.as_bytes()).hex();
    let forked = fs::read(dir.path().join(format!("{hash}.refused"))).unwrap();
    assert!(Checkpoint::open(&forked, ORIGIN, &keys().verifier()).is_ok());
    let newest = ledger.checkpoint(&hash).unwrap().unwrap();
    assert_eq!(Checkpoint::open(&newest, ORIGIN, &keys().verifier()), Ok(log.head(40)));
    assert_eq!(key().cosigner().cosigned(&Note::parse(&newest).unwrap()), Ok(Some(77)));
    for unknown in ["", "../.lock", ".lock", &Digest::of(b"x").hex()] {
        assert_eq!(ledger.checkpoint(unknown).unwrap(), None, "{unknown}");
    }
}

#[test]
fn an_empty_log_has_the_root_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let log = Log::new(10, 10, "");
    let lie = Checkpoint { root: Digest::of(b"x"), ..log.head(0) };
    let asked = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint: lie.sign(&keys()) };
    assert_eq!(status(&ledger, &asked), 422);
    assert_eq!(status(&ledger, &log.ask(0, 0)), 200);
    let mut proved = log.ask(0, 4);
    proved.proof.push(Digest::of(b"x"));
    assert_eq!(status(&ledger, &proved), 422, "from nothing on there is nothing to prove");
    assert_eq!(status(&ledger, &log.ask(0, 4)), 200);
}

#[test]
fn a_witness_that_starts_again_remembers_and_one_that_can_not_does_not_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (log, fork) = (Log::new(40, 40, ""), Log::new(40, 5, "forked"));
    let ledger = open(dir.path());
    assert_eq!(status(&ledger, &log.ask(0, 20)), 200);
    let taken = Ledger::open(dir.path(), key(), Vec::new());
    assert!(matches!(taken, Err(LedgerError::Taken(_))), "two would not agree");
    drop(ledger);
    let ledger = open(dir.path());
    assert_eq!(status(&ledger, &fork.ask(0, 30)), 409);
    assert_eq!(status(&ledger, &fork.ask(20, 30)), 422);
    assert_eq!(status(&ledger, &log.ask(20, 30)), 200);
    drop(ledger);
    let file = dir.path().join(Digest::of(ORIGIN.as_bytes()).hex());
    fs::write(&file, "damaged").unwrap();
    let damaged = Ledger::open(dir.path(), key(), vec![keys().verifier()]);
    assert!(matches!(damaged, Err(LedgerError::Damaged { .. })));
}

#[test]
fn requests_at_once_never_roll_a_log_back() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open(dir.path());
    let log = Log::new(200, 200, "");
    let cosigned = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for t in 0..4_u64 {
            let (ledger, log, cosigned) = (&ledger, &log, &cosigned);
            scope.spawn(move || {
                let mut old = 0;
                for size in (t + 1..200).step_by(7) {
                    match ledger.add(&log.ask(old.min(size), size).to_bytes(), size) {
                        Ok(_) => {
                            cosigned.lock().unwrap().push(size);
                            old = size;
                        }
                        Err(Refusal::Conflict { size }) => old = size,
                        Err(refusal) => panic!("{refusal}"),
                    }
                }
            });
        }
    });
    let cosigned = cosigned.into_inner().unwrap();
    let hash = Digest::of(ORIGIN.as_bytes()).hex();
    let newest = Checkpoint::peek(&ledger.checkpoint(&hash).unwrap().unwrap()).unwrap();
    println!("{} heads cosigned, the last of {} entries", cosigned.len(), newest.size);
    assert_eq!(Some(newest.size), cosigned.iter().copied().max());
}

#[test]
fn the_assurance_says_in_plain_words_what_witnesses_stand_behind() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(10, 10, "");
    let verifier = keys().verifier();
    let says = |policy: &TlogPolicy, needed| {
        WitnessAssurance::of(dir.path(), ORIGIN, &verifier, Some(policy), needed)
    };
    let none = says(&TlogPolicy::parse("quorum none").unwrap(), 3);
    assert_eq!(none, WitnessAssurance::none());
    assert!(none.to_string().starts_with("unwitnessed: only the installation vouches"), "{none}");
    let policy = format!("witness north {}\nquorum north\n", key().cosigner());
    let policy = TlogPolicy::parse(&policy).unwrap();
    assert_eq!(says(&policy, 3).level, WitnessLevel::QuorumNotMet);
    let mut note = Note::parse(&log.head(8).sign(&keys())).unwrap();
    store_cosigned(dir.path(), &note).unwrap();
    assert_eq!(says(&policy, 3).level, WitnessLevel::QuorumNotMet, "nobody cosigned it");
    note.add(key().cosign(&note, 1_700_000_000));
    store_cosigned(dir.path(), &note).unwrap();
    let witnessed = says(&policy, 8);
    assert_eq!(witnessed.level, WitnessLevel::Witnessed);
    assert_eq!(
        (witnessed.size, witnessed.witnesses.as_slice()),
        (Some(8), ["north".to_owned()].as_slice())
    );
    assert!(
        witnessed
            .statement
            .contains("witnessed (quorum met: north): they cosigned the first 8 entries"),
        "{witnessed}"
    );
    assert_eq!(serde_json::to_value(&witnessed).unwrap()["level"], "witnessed");
    let later = says(&policy, 9);
    assert_eq!(later.level, WitnessLevel::QuorumNotMet);
    assert!(later.statement.contains("needs 9"), "{later}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_witness_panic(bytes: Vec<u8>, text in "(old |[0-9A-Za-z+/=]|\n){0,60}") {
        drop(AddCheckpoint::parse(&bytes));
        drop(AddCheckpoint::parse(text.as_bytes()));
    }
}
