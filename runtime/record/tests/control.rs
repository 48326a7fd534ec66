//! The control log: durable before anybody is told, chained, and in signed tiles.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use custody_model::{Actor, Digest, EventId, Timestamp};
use custody_record::control::{
    Call, CallCompleted, ControlBody, ControlDraft, ControlEvent, ControlLog, verify_control,
};
use custody_record::tlog::Anchor;
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
        redactions: Vec::new(),
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
        let vault = std::sync::Arc::new(
            custody_record::Vault::open(&self.dir.path().join("vault")).unwrap(),
        );
        ControlLog::open(&self.path(), &self.keys, vault).unwrap()
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

/// Made up, and put together here so that no scanner takes this file for a leak.
fn token(number: u8) -> String {
    let end = char::from(b'a' + number);
    [["gh", "p_x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2"].concat(), end.to_string()].concat()
}

fn telling(number: u8) -> ControlDraft {
    let body = ControlBody::CallRequested(Call {
        operation: "session.stop".to_owned(),
        parameters: [("reason".to_owned(), format!("it has {} in it", token(number)))].into(),
        body: None,
    });
    ControlDraft { body, ..draft(number) }
}

/// The redactions that a log tells of: about which event each, and the digests.
fn told(log: &ControlLog) -> Vec<(EventId, Vec<Digest>)> {
    let events = log.read(0, usize::MAX).unwrap();
    for pair in events.windows(2) {
        if let ControlBody::RedactionApplied(applied) = &pair[0].body {
            assert_eq!(applied.event, Some(pair[1].id), "it stands right before its event");
        }
    }
    let one = |event: ControlEvent| {
        let ControlBody::RedactionApplied(applied) = event.body else { return None };
        assert_eq!(applied.count, applied.redactions.len() as u64);
        for redaction in &applied.redactions {
            assert_eq!(redaction.kind, "github-pat");
            assert_eq!(redaction.pointer.as_deref(), Some("/data/parameters/reason"));
        }
        let digests = applied.redactions.iter().map(|redaction| redaction.digest).collect();
        Some((applied.event.unwrap(), digests))
    };
    events.into_iter().filter_map(one).collect()
}

#[test]
fn what_is_redacted_in_the_control_log_is_told_before_its_event_under_its_own_salt() {
    let installation = Installation::new();
    let log = installation.open();
    let drafts = vec![draft(0), telling(1), draft(2), telling(1), telling(3)];
    let ids: Vec<EventId> = drafts.iter().map(|draft| draft.id).collect();
    let events = log.append(drafts).unwrap();
    // Who appends gets their own events, as many as they gave.
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [0, 2, 3, 5, 7]);
    let told = told(&log);
    assert_eq!(told.iter().map(|(event, _)| *event).collect::<Vec<_>>(), [ids[1], ids[3], ids[4]]);
    assert_eq!(told[0].1, told[1].1, "one secret has one digest");
    assert_ne!(told[0].1, told[2].1);
    log.integrate().unwrap();
    assert_eq!(findings(&installation), Vec::<String>::new());
    let all = serde_json::to_string(&log.read(0, usize::MAX).unwrap()).unwrap();
    assert!(!all.contains("x4T9bK2m"), "{all}");
    // Another installation has another salt, and nobody finds a secret by hashing it.
    let other = Installation::new();
    let log = other.open();
    log.append(vec![telling(1)]).unwrap();
    assert_ne!(self::told(&log)[0].1, told[0].1);
    assert_ne!(told[0].1[0], Digest::of(token(1).as_bytes()));
}

#[test]
fn a_writer_that_dies_between_a_redaction_and_its_event_told_of_neither() {
    let installation = Installation::new();
    let log = installation.open();
    log.append(vec![telling(1)]).unwrap();
    let pending = installation.path().join("pending");
    let before = fs::metadata(&pending).unwrap().len();
    let anchor = Anchor::path(&installation.path());
    let anchored = fs::read(&anchor).unwrap();
    log.append(vec![telling(2)]).unwrap();
    let whole = fs::read(&pending).unwrap();
    drop(log);
    let mut kept = 0;
    for length in (before..whole.len() as u64).step_by(7).chain([before]) {
        fs::write(&pending, &whole[..usize::try_from(length).unwrap()]).unwrap();
        // Who dies in the middle of an append has not come to anchor it.
        fs::write(&anchor, &anchored).unwrap();
        let log = installation.open();
        assert_eq!(log.size().unwrap(), 2, "cut at {length}");
        assert_eq!(findings(&installation), Vec::<String>::new());
        // What did not come to be is done again, and told once.
        let event = log.append(vec![telling(2)]).unwrap().remove(0);
        assert_eq!(event.seq, 3);
        assert_eq!(told(&log).len(), 2);
        kept += 1;
    }
    // The same where the tiles are made by whoever comes next.
    let first = frame_end(&whole, before);
    fs::write(&pending, &whole[..first]).unwrap();
    fs::write(&anchor, &anchored).unwrap();
    let log = installation.open();
    log.integrate().unwrap();
    assert_eq!((log.size().unwrap(), told(&log).len()), (2, 1));
    log.append(vec![telling(2)]).unwrap();
    log.integrate().unwrap();
    assert_eq!(findings(&installation), Vec::<String>::new());
    println!("{kept} cuts, and each left the log as it was before");
}

/// Where the frame that begins at an offset ends: its length stands in its first four bytes.
fn frame_end(bytes: &[u8], offset: u64) -> usize {
    let start = usize::try_from(offset).unwrap();
    let length = u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap());
    start + 8 + length as usize
}
