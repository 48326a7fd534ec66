//! `kill -9` of a process that writes many records, at any moment; and a listener outside that heard of its effects.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use custody_model::{Actor, EventId, SessionId};
use custody_record::control::{Call, ControlBody, ControlDraft, ControlLog, verify_control};
use custody_record::living::{LIVING_CHECKPOINT, publish};
use custody_record::tlog::{Checkpoint, TileHashes, root_at};
use custody_record::{
    InstallationLog, Integrity, Journal, JournalError, JournalHeader, JournalOptions, KeyChoice,
    Reader, Sink, VerifyOptions, recover, verify,
};

use crate::samples::{self, authorized, closed, gap, keys, observe, opened, vault};

/// How often it is killed.
const KILLS: u64 = 520;

/// How often it is killed at most, until so much was heard of that it says something.
const MOST_KILLS: u64 = 5_200;
const EFFECTS: usize = 1_000;
const ACTS: usize = 100;

/// Sessions that are written at once.
const SESSIONS: usize = 6;

/// Events after which a session is sealed and another begun.
const LONG: u64 = 150;

/// Most time that it lives, in microseconds.
const LIFE_MICROS: u64 = 14_000;

/// The sessions of one place in line, the last of which is not sealed.
fn records(root: &Path, slot: usize) -> (PathBuf, u32) {
    let dir = root.join(format!("slot{slot}"));
    let number = (0..).find(|n| !dir.join(format!("{}", n + 1)).exists()).unwrap();
    (dir.join(number.to_string()), number)
}

fn header(slot: usize, number: u32) -> JournalHeader {
    let mut random = [u8::try_from(slot).unwrap(); 10];
    random[..4].copy_from_slice(&number.to_be_bytes());
    JournalHeader { session: SessionId::new(samples::START, random), ..samples::header() }
}

/// Opens the last record of the place, or the next if it is sealed.
fn open(root: &Path, slot: usize) -> Journal {
    let (dir, number) = records(root, slot);
    let next = || {
        let dir = dir.with_file_name((number + 1).to_string());
        Journal::create(&dir, header(slot, number + 1), JournalOptions::default()).unwrap()
    };
    match recover(&dir, JournalOptions::default()) {
        Ok(found) if found.closed => {
            seal(root, &found.journal);
            next()
        }
        Ok(found) => {
            observe(&found.journal, gap());
            found.journal
        }
        Err(JournalError::Sealed(_)) => next(),
        Err(JournalError::Empty(_)) => {
            if dir.join("journal").exists() {
                std::fs::remove_file(dir.join("journal")).unwrap();
            }
            Journal::create(&dir, header(slot, number), JournalOptions::default()).unwrap()
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn seal(root: &Path, journal: &Journal) {
    let log = InstallationLog::open(&root.join("log"), &keys()).unwrap();
    let _ = journal.seal(&keys(), &log).unwrap();
}

/// Writes records, and tells the listener of each effect once it may happen, until it is killed.
fn write_until_killed(root: &Path, listener: UnixStream) -> ! {
    let listener = &Mutex::new(listener);
    let tell = |log: &str, what: &str| {
        let line = format!("{log} {what}\n");
        listener.lock().unwrap().write_all(line.as_bytes()).unwrap();
    };
    std::thread::scope(|scope| {
        for slot in 0..SESSIONS {
            scope.spawn(move || {
                loop {
                    let journal = open(root, slot);
                    let name = journal.dir().strip_prefix(root).unwrap().display().to_string();
                    let log = InstallationLog::open(&root.join("log"), &keys()).unwrap();
                    observe(&journal, authorized());
                    for round in 0.. {
                        for i in 0..round % 11 {
                            observe(&journal, opened(&format!("{round}/{i}")));
                        }
                        let effect = observe(&journal, opened(&format!("{round}/effect")));
                        journal.barrier().unwrap();
                        tell(&name, &effect.to_string());
                        let head = journal.head().unwrap();
                        if round % 8 == 3 {
                            let _ = publish(&journal, &log, 0, samples::at(1)).unwrap();
                        }
                        if head.size > LONG {
                            break;
                        }
                    }
                    observe(&journal, closed(journal.counts()));
                    seal(root, &journal);
                }
            });
        }
        let log = ControlLog::open(&root.join("control"), &keys(), vault(root)).unwrap();
        for round in 0_u64.. {
            let mut random = [0; 10];
            getrandom::fill(&mut random).unwrap();
            let id = EventId::new(samples::at(1), random);
            let call = Call { operation: "effect".to_owned(), parameters: [].into(), body: None };
            let _ = log
                .append(vec![ControlDraft {
                    id,
                    time: samples::at(1),
                    actor: Actor::Server,
                    via: None,
                    cause: None,
                    body: ControlBody::CallRequested(call),
                    blobs: Vec::new(),
                    redactions: Vec::new(),
                }])
                .unwrap();
            tell("control", &id.to_string());
            if round % 7 == 6 {
                log.integrate().unwrap();
            }
        }
    });
    unreachable!("it is killed")
}

/// Starts it, kills it after `life`, and returns what the listener heard.
fn one_life(root: &Path, life: Duration) -> Vec<(String, String)> {
    let (mut listener, teller) = UnixStream::pair().unwrap();
    // SAFETY: the child runs code that takes no lock that another thread of this test may hold, and is killed.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        drop(listener);
        write_until_killed(root, teller);
    }
    drop(teller);
    let deadline = Instant::now() + life;
    let mut heard = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        listener.set_read_timeout(Some(left)).unwrap();
        match listener.read(&mut chunk) {
            Ok(0) => panic!("it died by itself"),
            Ok(read) => heard.extend_from_slice(&chunk[..read]),
            Err(_) => break,
        }
    }
    // SAFETY: the child is ours and was not waited for.
    unsafe {
        assert_eq!(libc::kill(child, libc::SIGKILL), 0);
        assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
    }
    listener.set_read_timeout(None).unwrap();
    listener.read_to_end(&mut heard).unwrap();
    BufReader::new(&*heard)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| {
            // The last line may be half of one: then it was not heard.
            let (log, event) = line.split_once(' ')?;
            (event.len() == 36).then(|| (log.to_owned(), event.to_owned()))
        })
        .collect()
}

fn events_of(record: &Path) -> Vec<String> {
    let reader = Reader::open(record).unwrap();
    // Up to where it died inside of a frame.
    let entries = reader.entries().unwrap().map_while(Result::ok);
    entries.map(|entry| id_of(&entry)).collect()
}

/// Its own; no member before it in canonical order has one.
fn id_of(entry: &[u8]) -> String {
    let begin = br#","id":""#;
    let at = entry.windows(begin.len()).position(|window| window == begin).unwrap() + begin.len();
    String::from_utf8(entry[at..at + 36].to_vec()).unwrap()
}

#[test]
fn whatever_a_listener_outside_heard_of_is_on_record_at_whatever_moment_the_writer_is_killed() {
    let ground = crate::in_memory();
    let root = ground.path();
    let mut moments = samples::Moments::new(0x9E37_79B9_7F4A_7C15);
    let (mut effects, mut acts, mut silent, mut checked) = (0, 0, 0, 0);
    let mut shown = BTreeSet::new();
    let mut round = 0;
    // On a machine that is busy little is heard of in a life: then there are more of them.
    while round < KILLS || (round < MOST_KILLS && (effects <= EFFECTS || acts <= ACTS)) {
        round += 1;
        let heard = one_life(root, Duration::from_micros(moments.next() % LIFE_MICROS));
        silent += u64::from(heard.is_empty());
        for slot in 0..SESSIONS {
            // What a monitor that looks now is shown.
            let dir = records(root, slot).0;
            if let Ok(head) = std::fs::read(dir.join(LIVING_CHECKPOINT)) {
                let head = Checkpoint::peek(&head).unwrap();
                let _again = shown.insert((dir, head.size, head.root));
            }
        }
        let mut by_log: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (log, event) in &heard {
            by_log.entry(log).or_default().push(event);
        }
        for (log, wanted) in by_log {
            let found = if log == "control" {
                acts += wanted.len();
                let log = ControlLog::open(&root.join("control"), &keys(), vault(root)).unwrap();
                let events = log.read(checked, usize::MAX).unwrap();
                checked += events.len() as u64;
                events.iter().map(|event| event.id.to_string()).collect()
            } else {
                effects += wanted.len();
                events_of(&root.join(log))
            };
            let mut rest = found.iter();
            for event in wanted {
                assert!(rest.any(|there| there == event), "kill {round}: {log} lacks {event}");
            }
        }
    }
    let options = VerifyOptions::new(KeyChoice::Given(keys().verifier()))
        .with_installation_log(&root.join("log"));
    let (mut sealed, mut events) = (0, 0);
    for slot in 0..SESSIONS {
        let journal = open(root, slot);
        observe(&journal, closed(journal.counts()));
        seal(root, &journal);
        drop(journal);
        for number in 0..=records(root, slot).1 {
            let dir = root.join(format!("slot{slot}/{number}"));
            if !dir.exists() {
                continue;
            }
            let report = verify(&dir, &options);
            assert_eq!(report.integrity, Integrity::Intact, "{report}");
            sealed += 1;
            events += report.events;
        }
    }
    for (dir, size, head) in &shown {
        let sealed = Reader::open(dir).unwrap().sealed_size().unwrap();
        assert!(*size <= sealed, "{}: a head of {size} was shown", dir.display());
        let tree = TileHashes::new(dir, sealed);
        assert_eq!(root_at(&tree, *size).unwrap(), *head, "{} forked", dir.display());
    }
    assert!(shown.len() > 50, "{} heads were shown", shown.len());
    let log = ControlLog::open(&root.join("control"), &keys(), vault(root)).unwrap();
    log.integrate().unwrap();
    let report = verify_control(&root.join("control"), &keys().verifier()).unwrap();
    assert_eq!(report.findings, [""; 0]);
    assert!(effects > EFFECTS && acts > ACTS, "{effects} effects, {acts} acts");
    println!(
        "{round} kills ({silent} before the first effect): {effects} effects and {acts} control events were heard of, \
         {sealed} records with {events} events and {} control events verify, and go on from {} heads that were shown",
        report.events,
        shown.len()
    );
}
