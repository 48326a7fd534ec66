//! A log that was cut, emptied or put back as an older copy takes nothing more, and says so to whoever checks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::{Actor, Digest, EventId, SessionId, Timestamp};
use custody_record::control::{Call, verify_control};
use custody_record::installation::InstallationLeaves;
use custody_record::tlog::Anchor;
use custody_record::{
    ControlBody, ControlDraft, ControlLog, ExtendError, InstallationLog, Keys, LogError,
    SessionHead, Vault,
};

struct Installation {
    dir: tempfile::TempDir,
    keys: Keys,
}

fn at(number: u8) -> Timestamp {
    Timestamp::from_micros(1_795_461_120_000_000 + i64::from(number))
}

fn head(number: u8) -> SessionHead {
    SessionHead {
        session: SessionId::new(at(number), [number; 10]),
        size: 3,
        root: Digest::of(&[number]),
        time: at(number),
        sealed: true,
    }
}

fn draft(number: u8) -> ControlDraft {
    ControlDraft {
        id: EventId::new(at(number), [number; 10]),
        time: at(number),
        actor: Actor::Server,
        via: None,
        cause: None,
        body: ControlBody::CallRequested(Call {
            operation: format!("operation{number}"),
            parameters: [].into(),
            body: None,
        }),
        blobs: Vec::new(),
        redactions: Vec::new(),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Installation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(&dir.path().join("keys")).unwrap();
        Self { dir, keys }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> InstallationLog {
        InstallationLog::open(&self.at("log"), &self.keys).unwrap()
    }

    fn control(&self) -> ControlLog {
        let vault = Arc::new(Vault::open(&self.at("vault")).unwrap());
        ControlLog::open(&self.at("control"), &self.keys, vault).unwrap()
    }

    fn with_heads(count: u8) -> Self {
        let installation = Self::new();
        let log = installation.log();
        (0..count).for_each(|number| drop(log.append(&head(number)).unwrap()));
        installation
    }

    fn save(&self, name: &str) -> PathBuf {
        let saved = fs::read_dir(self.dir.path()).unwrap().count();
        let to = self.at(&format!("{name}.saved.{saved}"));
        copy(&self.at(name), &to);
        to
    }

    fn put_back(&self, name: &str, saved: &Path) {
        fs::remove_dir_all(self.at(name)).unwrap();
        copy(saved, &self.at(name));
    }

    /// Nothing is appended, nothing is changed, and who reads the log hears of it.
    fn refuses_heads(&self, what: &str) {
        let before = files(&self.at("log"));
        let error = self.log().append(&head(200)).expect_err(what);
        assert!(matches!(error, LogError::Extend(_)), "{what}: {error:?}");
        assert!(self.log().check().is_err(), "{what}");
        assert!(files(&self.at("log")) == before, "{what}: nothing is written");
        let read = InstallationLeaves::read(&self.at("log"), &self.keys.verifier(), &[]);
        assert!(read.is_err(), "{what}: {read:?}");
    }

    fn findings(&self) -> Vec<String> {
        match verify_control(&self.at("control"), &self.keys.verifier()) {
            Ok(report) => report.findings,
            Err(error) => vec![error.to_string()],
        }
    }

    fn refuses_events(&self, what: &str) {
        let before = files(&self.at("control"));
        assert!(self.control().append(vec![draft(200)]).is_err(), "{what}");
        assert!(self.control().integrate().is_err(), "{what}");
        assert!(self.control().check().is_err(), "{what}");
        assert!(files(&self.at("control")) == before, "{what}: nothing is written");
        assert_ne!(self.findings(), [""; 0], "{what}");
    }
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_installation_log_without_its_checkpoint_is_never_begun_anew() {
    for heads in [1, 2, 255, 255 + 1] {
        let installation = Installation::new();
        let log = installation.log();
        (0..heads).for_each(|number| drop(log.append(&head((number % 250) as u8)).unwrap()));
        let checkpoint = installation.at("log/checkpoint");
        let whole = fs::read(&checkpoint).unwrap();
        fs::remove_file(&checkpoint).unwrap();
        installation.refuses_heads("removed");
        fs::write(&checkpoint, "").unwrap();
        installation.refuses_heads("emptied");
        fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
        installation.refuses_heads("cut in half");
        // The anchor alone says that there was a log.
        fs::remove_dir_all(installation.at("log")).unwrap();
        assert!(matches!(
            installation.log().append(&head(9)),
            Err(LogError::Extend(ExtendError::HeadMissing { .. }))
        ));
    }
    // And so do the tiles alone, of a log that was never anchored.
    let installation = Installation::with_heads(2);
    fs::remove_file(Anchor::path(&installation.at("log"))).unwrap();
    fs::remove_file(installation.at("log/checkpoint")).unwrap();
    installation.refuses_heads("neither checkpoint nor anchor");
}

#[test]
fn an_installation_log_that_was_put_back_as_an_older_copy_takes_no_head() {
    let installation = Installation::with_heads(5);
    let older = installation.save("log");
    let log = installation.log();
    for number in 5..9 {
        let _ = log.append(&head(number)).unwrap();
    }
    let newest = installation.save("log");
    installation.put_back("log", &older);
    installation.refuses_heads("the whole directory");
    // The checkpoint alone: its tiles are all there.
    installation.put_back("log", &newest);
    fs::copy(older.join("checkpoint"), installation.at("log/checkpoint")).unwrap();
    installation.refuses_heads("the checkpoint alone");
    // Another log of the same length and by the same key.
    installation.put_back("log", &older);
    let anchor = Anchor::path(&installation.at("log"));
    let whole = fs::read(&anchor).unwrap();
    fs::remove_file(&anchor).unwrap();
    let other = installation.log();
    for number in 100..104 {
        let _ = other.append(&head(number)).unwrap();
    }
    fs::write(&anchor, &whole).unwrap();
    installation.refuses_heads("another log of the same length");
    // What is the newest is taken up again.
    installation.put_back("log", &newest);
    assert_eq!(installation.log().append(&head(9)).unwrap().index, 9);
}

#[test]
fn an_older_anchor_is_true_as_well_and_one_that_is_gone_is_written_again() {
    let installation = Installation::with_heads(3);
    let anchor = Anchor::path(&installation.at("log"));
    let older = fs::read(&anchor).unwrap();
    let _ = installation.log().append(&head(3)).unwrap();
    for content in [Some(older.as_slice()), Some(b"".as_slice()), None] {
        match content {
            Some(bytes) => fs::write(&anchor, bytes).unwrap(),
            None => fs::remove_file(&anchor).unwrap(),
        }
        installation.log().check().unwrap();
        let size = installation.log().append(&head(4)).unwrap().size;
        let verifier = installation.keys.verifier();
        let found = Anchor::read(&installation.at("log"), &verifier.log_origin(), &verifier);
        assert!(matches!(found.unwrap(), Anchor::Head(head) if head.size == size));
    }
}

#[test]
fn durable_entries_that_are_cut_off_the_end_of_the_control_log_are_missed() {
    let installation = Installation::new();
    let log = installation.control();
    log.append(vec![draft(0)]).unwrap();
    log.integrate().unwrap();
    let pending = installation.at("control/pending");
    let mut cuts = vec![fs::read(&pending).unwrap().len()];
    for number in 1..5 {
        log.append(vec![draft(number)]).unwrap();
        cuts.push(fs::read(&pending).unwrap().len());
    }
    drop(log);
    let whole = fs::read(&pending).unwrap();
    // At each entry, where nothing looks torn, and one byte before.
    for at in cuts[..4].iter().flat_map(|at| [*at, at + 7]).chain([whole.len() - 1]) {
        fs::write(&pending, &whole[..at]).unwrap();
        installation.refuses_events(&format!("cut at {at}"));
    }
    for (what, bytes) in [("emptied", b"".as_slice()), ("half", &whole[..whole.len() / 2])] {
        fs::write(&pending, bytes).unwrap();
        installation.refuses_events(what);
    }
    fs::remove_file(&pending).unwrap();
    installation.refuses_events("removed");
    fs::write(&pending, &whole).unwrap();
    assert_eq!(installation.findings(), [""; 0]);
    assert_eq!(installation.control().append(vec![draft(5)]).unwrap()[0].seq, 5);
}

#[test]
fn a_control_log_that_was_put_back_as_an_older_copy_takes_no_event() {
    let installation = Installation::new();
    let log = installation.control();
    for number in 0..3 {
        log.append(vec![draft(number)]).unwrap();
    }
    let begun = installation.save("control");
    log.integrate().unwrap();
    let integrated = installation.save("control");
    log.append(vec![draft(3)]).unwrap();
    let newest = installation.save("control");
    for (what, older) in [("before its tiles", &begun), ("with its tiles", &integrated)] {
        installation.put_back("control", older);
        installation.refuses_events(what);
    }
    // Its checkpoint, or its checkpoint and the end, are gone.
    installation.put_back("control", &newest);
    fs::remove_file(installation.at("control/checkpoint")).unwrap();
    installation.refuses_events("no checkpoint");
    fs::remove_file(installation.at("control/pending")).unwrap();
    installation.refuses_events("neither checkpoint nor end");
    installation.put_back("control", &newest);
    assert_eq!(installation.control().append(vec![draft(4)]).unwrap()[0].seq, 4);
}
