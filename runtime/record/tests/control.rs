//! The control log: durable before anybody is told, chained, and in signed tiles.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use custody_model::{Actor, EventId, Timestamp};
use custody_record::control::{
    Call, CallCompleted, ControlBody, ControlDraft, ControlEvent, ControlLog, verify_control,
};
use custody_record::{Keys, Verifier};
use proptest::prelude::*;

fn draft(number: u8) -> ControlDraft {
    let time = Timestamp::from_micros(1_795_461_120_000_000 + i64::from(number));
    ControlDraft {
        id: EventId::new(time, [number; 10]),
        time,
        actor: Actor::Server,
        via: None,
        cause: None,
        body: ControlBody::CallRequested(Call {
            operation: format!("operation{number}"),
            parameters: [("session".to_owned(), number.to_string())].into(),
            body: None,
        }),
        blobs: Vec::new(),
    }
}

struct Installation {
    dir: tempfile::TempDir,
    keys: Keys,
}

impl Installation {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(&dir.path().join("keys")).unwrap();
        Self { dir, keys }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("control")
    }

    fn open(&self) -> ControlLog {
        ControlLog::open(&self.path(), &self.keys).unwrap()
    }

    fn verifier(&self) -> Verifier {
        self.keys.verifier()
    }
}

fn findings(installation: &Installation) -> Vec<String> {
    verify_control(&installation.path(), &installation.verifier()).unwrap().findings
}

#[test]
fn what_is_appended_is_read_in_order_before_and_after_it_is_in_tiles() {
    let installation = Installation::new();
    let log = installation.open();
    assert_eq!(log.size().unwrap(), 0);
    let mut wanted = Vec::new();
    for number in 0..200_u8 {
        wanted.extend(log.append(vec![draft(number), draft(number)]).unwrap());
        if number % 37 == 0 {
            log.integrate().unwrap();
        }
    }
    assert_eq!(log.read(0, usize::MAX).unwrap(), wanted);
    log.integrate().unwrap();
    // Another process sees the same.
    let other = installation.open();
    assert_eq!(other.read(0, usize::MAX).unwrap(), wanted);
    assert_eq!(other.read(255, 3).unwrap(), wanted[255..258]);
    assert_eq!(other.read(400, 3).unwrap(), []);
    let report = verify_control(&installation.path(), &installation.verifier()).unwrap();
    assert_eq!((report.events, report.signed, report.findings.len()), (400, 400, 0));
    for (seq, event) in (0_u64..).zip(&wanted) {
        assert_eq!(event.seq, seq);
    }
}

#[test]
fn threads_and_processes_share_one_sequence_without_holes() {
    let installation = Installation::new();
    // Two logs in one process stand for two processes: the file lock is taken by open files.
    let logs = [Arc::new(installation.open()), Arc::new(installation.open())];
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let log = logs[usize::from(thread % 2)].clone();
            scope.spawn(move || {
                for _ in 0..25 {
                    let events = log.append(vec![draft(thread), draft(thread)]).unwrap();
                    assert_eq!(events[1].seq, events[0].seq + 1, "they stand together");
                    if thread == 3 {
                        log.integrate().unwrap();
                    }
                }
            });
        }
    });
    let events = logs[0].read(0, usize::MAX).unwrap();
    assert_eq!(events.len(), 400);
    logs[1].integrate().unwrap();
    assert_eq!(findings(&installation), Vec::<String>::new());
    assert_eq!(logs[0].read(0, usize::MAX).unwrap(), events);
}

#[test]
fn an_event_that_is_too_long_fails_alone() {
    let installation = Installation::new();
    let log = installation.open();
    let mut long = draft(1);
    if let ControlBody::CallRequested(call) = &mut long.body {
        call.operation = "x".repeat(70_000);
    }
    assert!(log.append(vec![draft(0), long]).is_err());
    assert_eq!(log.size().unwrap(), 0, "none of what was to be appended together is there");
    log.append(vec![draft(2)]).unwrap();
    assert_eq!(log.size().unwrap(), 1);
}

#[test]
fn a_torn_end_is_cut_off_and_a_death_inside_of_the_integration_is_mended() {
    let installation = Installation::new();
    let log = installation.open();
    let first = log.append(vec![draft(0), draft(1)]).unwrap();
    let pending = installation.path().join("pending");
    let before = fs::read(&pending).unwrap();
    // A writer died inside of a frame.
    fs::write(&pending, [&before[..], &[9, 0, 0, 0, 1, 2]].concat()).unwrap();
    let log = installation.open();
    assert_eq!(log.read(0, 9).unwrap(), first);
    let second = log.append(vec![draft(2)]).unwrap();
    assert_eq!(second[0].seq, 2);
    // A writer died after the checkpoint and before the file was replaced.
    let before = fs::read(&pending).unwrap();
    log.integrate().unwrap();
    fs::write(&pending, before).unwrap();
    let log = installation.open();
    assert_eq!(log.size().unwrap(), 3);
    assert_eq!(log.append(vec![draft(3)]).unwrap()[0].seq, 3);
    log.integrate().unwrap();
    assert_eq!(log.read(0, 9).unwrap().len(), 4);
    assert_eq!(findings(&installation), Vec::<String>::new());
}

fn filled() -> Installation {
    let installation = Installation::new();
    let log = installation.open();
    for number in 0..20 {
        log.append(vec![draft(number)]).unwrap();
    }
    log.integrate().unwrap();
    log.append(vec![draft(20), draft(21)]).unwrap();
    installation
}

fn bundle(dir: &Path) -> std::path::PathBuf {
    dir.join("tile/entries/000.p/20")
}

#[test]
fn each_kind_of_tampering_is_found() {
    assert_eq!(findings(&filled()), Vec::<String>::new());
    // A changed event, whose bundle is well formed.
    let installation = filled();
    let path = bundle(&installation.path());
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(10).position(|w| w == b"operation7").unwrap() + 9;
    bytes[at] = b'8';
    fs::write(&path, bytes).unwrap();
    let found = findings(&installation);
    assert!(found.iter().any(|f| f.contains("do not give the root")), "{found:?}");
    assert!(found.iter().any(|f| f.contains("event 8 does not follow")), "{found:?}");
    // A removed file of what is not in tiles yet: the head is still the signed one, and what was after it is gone.
    let installation = filled();
    let pending = installation.path().join("pending");
    let mut bytes = fs::read(&pending).unwrap();
    let at = bytes.len() - 3;
    bytes[at] ^= 1;
    fs::write(&pending, bytes).unwrap();
    assert!(findings(&installation)[0].contains("the end of the log"));
    // Another key's head.
    let (installation, other) = (filled(), Installation::new());
    let report = verify_control(&installation.path(), &other.verifier()).unwrap();
    assert!(report.findings[0].contains("checkpoint"), "{report:?}");
}

#[test]
fn every_flipped_byte_of_a_control_log_is_found() {
    let installation = filled();
    let dir = installation.path();
    let mut count = 0;
    for name in ["checkpoint", "pending", "tile/entries/000.p/20", "tile/0/000.p/20"] {
        let path = dir.join(name);
        let original = fs::read(&path).unwrap();
        for at in 0..original.len() {
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            let report = verify_control(&dir, &installation.verifier());
            // Of the file that is not in tiles yet, a torn end is no damage, but its events are then gone.
            let found = report.as_ref().is_ok_and(|r| r.findings.is_empty() && r.events == 22);
            assert!(!found, "byte {at} of {name}: {report:?}");
            count += 1;
        }
        fs::write(&path, &original).unwrap();
    }
    assert_eq!(findings(&installation), Vec::<String>::new());
    println!("{count} flipped bytes of a control log, each found");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _refused = ControlEvent::from_canonical(&bytes);
    }

    #[test]
    fn only_the_one_spelling_is_an_event(status in 100_u16..600, code: Option<String>, at in 0..200_usize, byte: u8) {
        let mut draft = draft(7);
        draft.body = ControlBody::CallCompleted(CallCompleted { status, code });
        let installation = Installation::new();
        let event = installation.open().append(vec![draft]).unwrap().remove(0);
        let mut bytes = event.to_canonical().unwrap();
        prop_assert_eq!(&ControlEvent::from_canonical(&bytes).unwrap(), &event);
        let at = at % bytes.len();
        if bytes[at] != byte {
            bytes[at] = byte;
            if let Ok(other) = ControlEvent::from_canonical(&bytes) {
                prop_assert_eq!(other.to_canonical().unwrap(), bytes);
            }
        }
    }
}
