//! A story that takes every step of the write path, told by who tries again when the disk fails, and what must be true of
//! what is on disk after it or after a cut in it.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use custody_model::{Actor, EventId};
use custody_record::control::{
    Call, ControlBody, ControlDraft, ControlEvent, ControlLog, verify_control,
};
use custody_record::disk::Disk;
use custody_record::event::{Body, Draft, TerminalRecorded};
use custody_record::journal::recover_on;
use custody_record::living::{LIVING_CHECKPOINT, publish};
use custody_record::tlog::{TileHashes, root_at};
use custody_record::{
    Code, Finding, InstallationLog, Integrity, Journal, JournalError, JournalOptions, KeyChoice,
    Reader, Sink, SinkError, Vault, VerifyOptions, recover, verify,
};

use crate::faulty::{FaultyDisk, Promise};
use crate::samples::{self, authorized, closed, gap, header, keys, opened, vault};

/// Tries of who does not give up; a fault of these tests does not last as long.
const TRIES: usize = 100;

/// Only a barrier makes the writer write, so that the steps are the same each time.
fn options() -> JournalOptions {
    JournalOptions {
        wake_bytes: usize::MAX,
        linger: Duration::from_secs(3600),
        commit_interval: Duration::from_secs(3600),
        retry: Duration::from_millis(1),
        ..JournalOptions::default()
    }
}

pub(crate) fn until<T, E: Debug>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let mut tries = 0;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(tries < TRIES, "it never heals: {error:?}"),
        }
        tries += 1;
    }
}

fn draft(number: u8) -> ControlDraft {
    let time = samples::at(i64::from(number));
    ControlDraft {
        id: EventId::new(time, [number; 10]),
        time,
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

/// The journal of a session that begins, or goes on after whoever began it failed.
fn journal(disk: &Arc<FaultyDisk>, dir: &Path) -> Journal {
    until(|| match Journal::create_on(disk.clone(), dir, header(), options()) {
        Err(JournalError::Exists(_)) => match recover_on(disk.clone(), dir, options()) {
            Err(JournalError::Empty(_)) => {
                disk.remove_file(&dir.join("journal")).map_err(|e| e.to_string())?;
                Err("begin again".to_owned())
            }
            other => other.map(|found| found.journal).map_err(|e| format!("{e:?}")),
        },
        other => other.map_err(|e| format!("{e:?}")),
    })
}

struct Teller<'a> {
    disk: &'a Arc<FaultyDisk>,
    refused: usize,
}

impl Teller<'_> {
    /// Something leaves the sandbox: never before it is recorded, and refused at once if that can't be.
    fn effect(&mut self, journal: &Journal, body: Body) {
        self.effect_of(journal, Draft::new(samples::at(40), samples::process(), body));
    }

    fn effect_of(&mut self, journal: &Journal, draft: Draft) {
        let event = journal.observe(draft).unwrap();
        loop {
            let begun = Instant::now();
            match journal.barrier() {
                Ok(()) => break,
                Err(SinkError::Unwritable(text)) => {
                    assert!(begun.elapsed() < Duration::from_secs(10), "refused at once");
                    assert!(text.contains("journal"), "it says what failed: {text}");
                    self.refused += 1;
                    journal.wait_until_writable().unwrap();
                }
                Err(error @ (SinkError::Malformed(_) | SinkError::Sealed)) => panic!("{error:?}"),
            }
        }
        self.disk.promise("session", event.to_string());
    }

    fn control(&self, log: &ControlLog, number: u8) {
        // Each attempt is another event: the refused ones must not be found.
        let mut attempt = 0;
        let done = until(|| {
            attempt += 1;
            log.append(vec![draft(number * 16 + attempt)])
        });
        self.disk.promise("control", done[0].id.to_string());
    }

    fn head(&self, log: &InstallationLog, journal: &Journal) {
        let shown = until(|| publish(journal, log, 0, samples::at(41))).unwrap().head;
        self.disk.promise("head", shown.size.to_string());
        self.disk.promise("shown", format!("{} {}", shown.size, shown.root));
    }
}

/// Tells it below `root`, with so many observations in its middle; how many effects and seals were refused.
pub(crate) fn tell(disk: &Arc<FaultyDisk>, root: &Path, many: u64) -> usize {
    let mut teller = Teller { disk, refused: 0 };
    let shared: Arc<dyn Disk> = disk.clone();
    let log = until(|| InstallationLog::open_on(shared.clone(), &root.join("log"), &keys()));
    let vault = until(|| Vault::open_on(shared.clone(), &root.join("vault")).map(Arc::new));
    let control = until(|| {
        ControlLog::open_on(shared.clone(), &root.join("control"), &keys(), vault.clone())
    });
    teller.control(&control, 0);
    let record = root.join("record");
    let session = journal(disk, &record);
    teller.effect(&session, authorized());
    teller.head(&log, &session);
    for i in 0..many {
        samples::observe(&session, opened(&format!("src/{i}.rs")));
    }
    teller.effect(&session, opened("first"));
    teller.control(&control, 1);
    until(|| control.integrate());
    let blob = until(|| session.blobs().put_bytes("terminal", "text/plain", b"content of a blob"));
    disk.promise("blob", blob.digest.to_string());
    let body = TerminalRecorded { output_bytes: blob.size, input_bytes: 0, cut_bytes: 0 };
    let mut terminal = Draft::new(samples::at(42), Actor::Keeper, Body::TerminalRecorded(body));
    terminal.blobs.push(blob);
    teller.effect_of(&session, terminal);
    teller.control(&control, 2);
    teller.head(&log, &session);
    // The keeper dies, and another process goes on.
    drop(session);
    let session = journal(disk, &record);
    teller.effect(&session, gap());
    // Another process appends to the control log.
    let other = until(|| {
        ControlLog::open_on(shared.clone(), &root.join("control"), &keys(), vault.clone())
    });
    teller.control(&other, 3);
    teller.control(&control, 4);
    until(|| other.integrate());
    teller.effect(&session, closed(session.counts()));
    let mut seals = 0;
    let sealed = until(|| {
        seals += 1;
        session.seal(&keys(), &log)
    });
    teller.refused += seals - 1;
    disk.promise("sealed", sealed.head.size.to_string());
    teller.control(&control, 5);
    until(|| control.integrate());
    teller.refused
}

fn promised(all: &[Promise], log: &str) -> Vec<String> {
    all.iter().filter(|(of, _)| *of == log).map(|(_, what)| what.clone()).collect()
}

/// `wanted` stands in `found` in its order.
fn assert_there(wanted: &[String], found: &[String], what: &str) {
    let mut rest = found.iter();
    for one in wanted {
        assert!(rest.any(|there| there == one), "{what}: {one} is missing in {found:?}");
    }
}

/// Everything that was promised is there, and what is there verifies and can go on.
pub(crate) fn assert_kept(root: &Path, all: &[Promise], what: &str) {
    let (record, log) = (root.join("record"), root.join("log"));
    let log = InstallationLog::open(&log, &keys()).unwrap();
    let sealed = promised(all, "sealed");
    if record.join("journal").exists() {
        // No head that somebody may have seen is ahead of what a crash left.
        let report = verify(&record, &VerifyOptions::new(KeyChoice::Given(keys().verifier())));
        // Beside the sealed head it is not read any more.
        let about_it = |finding: &&Finding| {
            finding.file.as_deref() == Some(LIVING_CHECKPOINT)
                && finding.code != Code::UnsealedBesideSeal
        };
        assert_eq!(report.findings.iter().find(about_it), None, "{what}: {report}");
    }
    match recover(&record, JournalOptions::default()) {
        Ok(found) => {
            if !found.closed {
                samples::observe(&found.journal, gap());
                samples::observe(&found.journal, closed(found.journal.counts()));
            }
            let _ = found.journal.seal(&keys(), &log).unwrap();
        }
        Err(JournalError::Sealed(_)) => {}
        Err(JournalError::Empty(_)) => {
            assert_eq!(promised(all, "session"), [""; 0], "{what}: no journal");
        }
        Err(error) => panic!("{what}: {error:?}"),
    }
    if record.join("checkpoint").exists() {
        let options = VerifyOptions::new(KeyChoice::Given(keys().verifier()))
            .with_installation_log(&root.join("log"));
        let report = verify(&record, &options);
        assert_eq!(report.integrity, Integrity::Intact, "{what}: {report}");
        assert!(sealed.is_empty() || report.events.to_string() == sealed[0], "{what}: {report}");
        let events: Vec<String> = Reader::open(&record)
            .unwrap()
            .events()
            .unwrap()
            .map(|event| event.unwrap().id.to_string())
            .collect();
        assert_there(&promised(all, "session"), &events, what);
        let tree = TileHashes::new(&record, report.events);
        for shown in promised(all, "shown") {
            let (size, root) = shown.split_once(' ').unwrap();
            let found = root_at(&tree, size.parse().unwrap()).unwrap();
            assert_eq!(found.to_string(), root, "{what}: the log goes on from each head");
        }
    }
    for blob in promised(all, "blob") {
        custody_record::Blobs::open(&record).check(&blob.parse().unwrap(), 1 << 20).unwrap();
    }
    if log_exists(root) {
        let verifier = keys().verifier();
        let leaves = custody_record::installation::InstallationLeaves::read(
            &root.join("log"),
            &verifier,
            &[],
        )
        .unwrap();
        let sizes: Vec<String> = leaves.leaves.iter().map(|leaf| leaf.size.to_string()).collect();
        assert_there(&promised(all, "head"), &sizes, what);
    }
    let control = ControlLog::open(&root.join("control"), &keys(), vault(root)).unwrap();
    let events = control.read(0, usize::MAX).unwrap();
    assert_there(&promised(all, "control"), &ids(&events), what);
    let _ = control.append(vec![draft(255)]).unwrap();
    control.integrate().unwrap();
    let report = verify_control(&root.join("control"), &keys().verifier()).unwrap();
    assert_eq!(report.findings, [""; 0], "{what}");
    assert_eq!(report.signed, events.len() as u64 + 1, "{what}");
}

fn log_exists(root: &Path) -> bool {
    root.join("log/checkpoint").exists()
}

/// The control log holds what was promised and nothing that was refused.
pub(crate) fn assert_nothing_refused_is_there(root: &Path, all: &[Promise], what: &str) {
    let control = ControlLog::open(&root.join("control"), &keys(), vault(root)).unwrap();
    let events = control.read(0, usize::MAX).unwrap();
    assert_eq!(ids(&events), promised(all, "control"), "{what}");
}

fn ids(events: &[ControlEvent]) -> Vec<String> {
    events.iter().map(|event| event.id.to_string()).collect()
}
