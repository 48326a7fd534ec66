//! A sealed record is sealed: nothing unsigned that lies beside it changes what anybody is told of it, and nobody goes on with it.

mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use custody_model::SessionId;
use custody_record::{
    Code, InstallationLog, Integrity, Journal, JournalError, JournalHeader, JournalOptions,
    KeyChoice, Keys, LivingLog, ReadError, Reader, Report, SessionHead, Sink, Tail, VerifyOptions,
    recover, verify,
};
use samples::{authorized, closed, header, observe, opened};

/// An installation with two sessions: records lie in it as the runtime puts them.
struct State {
    root: tempfile::TempDir,
    keys: Keys,
    log: InstallationLog,
}

impl State {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let keys = Keys::open(&root.path().join("keys")).unwrap();
        let log = InstallationLog::open(&root.path().join("log"), &keys).unwrap();
        Self { root, keys, log }
    }

    fn record(&self, session: SessionId) -> PathBuf {
        self.root.path().join("sessions").join(session.to_string()).join("record")
    }

    fn begin(&self, session: SessionId) -> Journal {
        let header = JournalHeader { session, ..header() };
        fs::create_dir_all(self.record(session).parent().unwrap()).unwrap();
        Journal::create(&self.record(session), header, JournalOptions::default()).unwrap()
    }

    /// Seals a session of `middle` reads; the bytes that its journal had after each event, and at last.
    fn sealed(&self, session: SessionId, middle: u64) -> Vec<Vec<u8>> {
        let journal = self.begin(session);
        let path = self.record(session).join("journal");
        let mut copies = Vec::new();
        let mut copy = |journal: &Journal| {
            journal.barrier().unwrap();
            copies.push(fs::read(&path).unwrap());
        };
        copy(&journal);
        observe(&journal, authorized());
        copy(&journal);
        for i in 0..middle {
            observe(&journal, opened(&format!("src/{i}.rs")));
            copy(&journal);
        }
        observe(&journal, closed(journal.counts()));
        copy(&journal);
        journal.seal(&self.keys, &self.log).unwrap();
        copies
    }

    fn verify(&self, session: SessionId) -> Report {
        let options = VerifyOptions::new(KeyChoice::Installation(self.keys.verifier()));
        let log = self.root.path().join("log");
        verify(&self.record(session), &options.of_session(session).with_installation_log(&log))
    }
}

fn other() -> SessionId {
    SessionId::new(samples::START, [0x22; 10])
}

fn entries(record: &Path) -> Vec<Vec<u8>> {
    Reader::open(record).unwrap().entries().unwrap().map(Result::unwrap).collect()
}

fn tail(record: &Path) -> (Vec<Vec<u8>>, bool) {
    let mut tail = Tail::new(record, 0);
    let (mut entries, mut end) = (Vec::new(), false);
    loop {
        let fresh = tail.read(64).unwrap();
        end |= fresh.end;
        if fresh.entries.is_empty() {
            return (entries, end);
        }
        entries.extend(fresh.entries);
    }
}

/// Events from a reader, from its tail and whether that ended, the sealed size, the living head and whether there is one.
type Told = (Vec<Vec<u8>>, (Vec<Vec<u8>>, bool), Option<u64>, Option<Vec<u8>>, bool);

/// Everything that a reader is told of a sealed record.
fn told(record: &Path) -> Told {
    let sealed = Reader::open(record).unwrap().sealed_size();
    let living = LivingLog::open(record).unwrap().is_some();
    (entries(record), tail(record), sealed, LivingLog::head(record).unwrap(), living)
}

#[test]
fn no_journal_that_lies_beside_a_seal_changes_what_anybody_is_told() {
    let state = State::new();
    let session = samples::session();
    let mut journals = state.sealed(session, 5);
    let whole = journals.pop().unwrap();
    journals.extend(state.sealed(other(), 3));
    journals.push(Vec::new());
    journals.push(vec![0; 4096]);
    journals.push([whole.as_slice(), &[0; 100]].concat());
    journals.push(whole[..whole.len() - 3].to_vec());
    let record = state.record(session);
    let (report, before, files) =
        (state.verify(session), told(&record), samples::contents(&record));
    assert!(report.is_good() && report.findings.is_empty(), "{report}");
    for (number, journal) in journals.iter().enumerate() {
        fs::write(record.join("journal"), journal).unwrap();
        for name in ["living.checkpoint", "living.place.json"] {
            fs::write(record.join(name), "stale").unwrap();
        }
        let now = state.verify(session);
        let named: Vec<Code> = now.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(named, [Code::UnsealedBesideSeal; 3], "journal {number}\n{now}");
        assert_eq!(Report { findings: Vec::new(), ..now }, report, "journal {number}");
        assert_eq!(told(&record), before, "journal {number}");
        let refused = recover(&record, JournalOptions::default());
        assert!(refused.is_err(), "journal {number}: {refused:?}");
        assert_eq!(fs::read(record.join("journal")).unwrap(), *journal, "it is left as it was");
        for name in ["journal", "living.checkpoint", "living.place.json"] {
            fs::remove_file(record.join(name)).unwrap();
        }
        assert_eq!(samples::contents(&record), files, "journal {number}");
    }
}

#[test]
fn what_was_sealed_is_never_sealed_again_whatever_of_the_seal_is_damaged_or_gone() {
    let state = State::new();
    let session = samples::session();
    let journals = state.sealed(session, 4);
    let record = state.record(session);
    let files = samples::contents(&record);
    let leaves = samples::contents(&state.root.path().join("log"));
    let put = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        for (name, bytes) in files {
            fs::create_dir_all(record.join(name).parent().unwrap()).unwrap();
            fs::write(record.join(name), bytes).unwrap();
        }
    };
    let signed = ["checkpoint", "seal.dsse.json", "installation.vkey"];
    // Each of what is signed is there, damaged or gone.
    for case in 0..27_usize {
        put(&files);
        for (at, name) in signed.iter().enumerate() {
            match case / 3_usize.pow(u32::try_from(at).unwrap()) % 3 {
                0 => {}
                1 => fs::write(record.join(name), "x").unwrap(),
                _ => fs::remove_file(record.join(name)).unwrap(),
            }
        }
        // Of a journal that was copied in the middle nothing goes on.
        let stale = &journals[3];
        fs::write(record.join("journal"), stale).unwrap();
        let before = samples::contents(&record);
        let refused = recover(&record, JournalOptions::default());
        assert!(matches!(refused, Err(JournalError::Stale(_))), "case {case}: {refused:?}");
        let report = state.verify(session);
        assert!(report.sealed, "case {case}: {report}");
        assert_eq!(case == 0, report.is_good(), "case {case}: {report}");
        assert_eq!(samples::contents(&record), before, "case {case}: nothing is changed");
    }
    // Gone as a whole: there is nothing to go on with, nor to begin anew.
    fs::remove_dir_all(&record).unwrap();
    let refused = recover(&record, JournalOptions::default());
    assert!(matches!(refused, Err(JournalError::Gone(_))), "{refused:?}");
    assert_eq!(samples::contents(&state.root.path().join("log")), leaves);
}

#[test]
fn a_seal_of_another_session_or_key_does_not_end_one_that_lives() {
    let state = State::new();
    state.sealed(other(), 3);
    let foreign = samples::contents(&state.record(other()));
    let forger = State::new();
    forger.sealed(samples::session(), 2);
    let forged = samples::contents(&forger.record(samples::session()));
    let session = samples::session();
    let journal = state.begin(session);
    for name in ["a", "b", "c"] {
        observe(&journal, opened(name));
    }
    journal.barrier().unwrap();
    let record = state.record(session);
    let (alone, before) = (state.verify(session), told(&record));
    for files in [foreign, forged] {
        for (name, bytes) in &files {
            fs::create_dir_all(record.join(name).parent().unwrap()).unwrap();
            fs::write(record.join(name), bytes).unwrap();
        }
        let report = state.verify(session);
        assert_eq!((report.integrity, report.completeness), (alone.integrity, alone.completeness));
        assert_eq!((report.events, report.root, report.sealed), (alone.events, alone.root, false));
        let foreign = report.findings.iter().filter(|f| f.code == Code::ForeignSeal).count();
        assert_eq!(foreign, 2, "{report}");
        assert_eq!((entries(&record), tail(&record)), (before.0.clone(), before.1.clone()));
        fs::remove_dir_all(record.join("tile")).unwrap();
    }
    // Its keeper dies: what lies beside the journal does not keep it from being closed.
    drop(journal);
    let recovered = recover(&record, JournalOptions::default()).unwrap();
    observe(&recovered.journal, closed(recovered.journal.counts()));
    recovered.journal.seal(&state.keys, &state.log).unwrap();
    let report = state.verify(session);
    assert_eq!((report.events, report.integrity), (4, Integrity::Intact), "{report}");
}

#[test]
fn the_record_of_another_session_is_not_read_as_this_ones() {
    let state = State::new();
    let journals = state.sealed(other(), 3);
    let record = state.record(samples::session());
    fs::create_dir_all(&record).unwrap();
    fs::write(record.join("journal"), &journals[2]).unwrap();
    let read = Reader::open(&record).and_then(|reader| reader.entries().map(drop));
    assert!(matches!(read, Err(ReadError::Foreign { .. })), "{read:?}");
    assert!(matches!(Tail::new(&record, 0).read(8), Err(ReadError::Foreign { .. })));
    let refused = recover(&record, JournalOptions::default());
    assert!(matches!(refused, Err(JournalError::Foreign { .. })), "{refused:?}");
    let differs = |report: Report| {
        assert_eq!(report.integrity, Integrity::Broken, "{report}");
        assert!(report.findings.iter().any(|f| f.code == Code::SessionDiffers), "{report}");
    };
    differs(state.verify(samples::session()));
    fs::remove_file(record.join("journal")).unwrap();
    for (name, bytes) in samples::contents(&state.record(other())) {
        fs::create_dir_all(record.join(&name).parent().unwrap()).unwrap();
        fs::write(record.join(name), bytes).unwrap();
    }
    assert!(matches!(Reader::open(&record), Err(ReadError::Foreign { .. })));
    differs(state.verify(samples::session()));
}

#[test]
fn a_record_that_is_gone_is_not_begun_anew_once_the_installation_log_knows_it() {
    let state = State::new();
    let session = samples::session();
    let journal = state.begin(session);
    observe(&journal, authorized());
    let head = journal.head().unwrap();
    let head = SessionHead {
        session,
        size: head.size,
        root: head.root,
        time: samples::at(1),
        sealed: false,
    };
    state.log.append(&head).unwrap();
    drop(journal);
    for damage in [None, Some(Vec::new()), Some(vec![0; 512])] {
        let path = state.record(session).join("journal");
        match damage {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let refused = recover(&state.record(session), JournalOptions::default());
        assert!(matches!(refused, Err(JournalError::Gone(_))), "{refused:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_listed_is_not_said_to_hold_no_record() {
    let root = tempfile::tempdir().unwrap();
    let codes = |dir: &Path| {
        let report = verify(dir, &VerifyOptions::new(KeyChoice::Record));
        report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(&root.path().join("gone")), [Code::NoRecord]);
    // Longer than a name may be: no process can list it, whoever runs the test.
    assert_eq!(codes(&root.path().join("a".repeat(300))), [Code::Unreadable]);
    fs::write(root.path().join("file"), "").unwrap();
    assert_eq!(codes(&root.path().join("file")), [Code::Unreadable]);
}
