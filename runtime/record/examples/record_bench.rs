//! Throughput of the record: `record_bench [EVENTS] [DIRECTORY]` prints one JSON line per figure. The directory should
//! be on the disk that is meant; without one it is the system's directory for temporary files.
//!
//! - `record.events_per_s`, `record.sessions_32.events_per_s`: events appended by two threads to one session and by 32
//!   threads to 32, chained, written and durable by group commit, against writing and fsyncing the same bytes.
//! - `record.vs_fsync`, `record.sessions_32.vs_fsync`: the time of that against the time of writing and fsyncing the same
//!   bytes in batches of the same size, one side after the other in turns; medians.
//! - `record.published.events_per_s`: events appended to one session whose head is signed and put into the installation log
//!   four times a second meanwhile, against one of which nothing is shown.
//! - `record.durable.p50`, `.p99`: from an append to its barrier's return, one after the other, against one write and
//!   one fsync of the same bytes.
//! - `verify.events_per_s`: a sealed record, against one thread that only hashes the same bytes with SHA-256.
//! - `record.bytes_per_event`: of the sealed record on disk, against the events' own bytes.
//! - `record.growth`: the cost of an event in a record of all EVENTS, against one of 10⁴.
//! - `record.redaction.vs_plain`: events as a session has them, appended with a policy's redactor by one thread, against the
//!   same events with one that finds nothing; medians of turns.
//! - `redact.compile_ms`: a redactor for one more session under a policy, against the first one under it.

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use custody_record::event::{Body, ProcessExecuted};
use custody_record::journal::{DEFAULT_COMMIT_INTERVAL, MAX_UNSYNCED_BYTES};
use custody_record::living::{PublishError, publish};
use custody_record::redact::Pattern;
use custody_record::{
    Draft, InstallationLog, Journal, JournalOptions, KeyChoice, Redactor, Sink, VerifyOptions,
    verify,
};

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Turns that both sides take.
const ROUNDS: usize = 5;

/// Events whose way to the disk is timed one by one.
const TIMED: u32 = 1000;

/// Events that both sides write in a turn.
const COMPARED: u64 = 400_000;

/// Events that are appended with and without a redactor in a turn.
const REDACTED: u64 = 200_000;

/// Time between two heads of a session that are shown, where that is measured.
const SHOWN: Duration = Duration::from_millis(250);

/// Events of the record that a long one is compared with.
const SHORT: u64 = 10_000;

fn print(name: &str, unit: &str, value: f64, baseline: f64) {
    let line = serde_json::json!({
        "name": name,
        "unit": unit,
        "value": (value * 1000.0).round() / 1000.0,
        "baseline": (baseline * 1000.0).round() / 1000.0,
        "ratio": (value / baseline * 1000.0).round() / 1000.0,
    });
    println!("{line}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Appends so many events by so many threads to each of the journals, until all are durable; seconds.
fn append(journals: &[Journal], threads: u64, events: u64) -> Done<f64> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = journals
            .iter()
            .flat_map(|journal| (0..threads).map(move |thread| (journal, thread)))
            .map(|(journal, thread)| {
                scope.spawn(move || {
                    for i in 0..events / threads {
                        let path = format!("src/module_{thread}/part_{}/file_{i}.rs", i % 97);
                        let body = samples::opened(&path);
                        journal.observe(Draft::new(samples::at(1), samples::process(), body))?;
                    }
                    journal.barrier()
                })
            })
            .collect();
        all.into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// Writes and fsyncs bytes in batches, as many files at once as there are; seconds.
fn write_and_sync(dir: &Path, files: &[Vec<u8>], batch: usize) -> Done<f64> {
    std::fs::create_dir(dir)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(number, bytes)| {
                scope.spawn(move || {
                    let mut file = File::create(dir.join(number.to_string()))?;
                    for chunk in bytes.chunks(batch.max(4096)) {
                        file.write_all(chunk)?;
                        file.sync_data()?;
                    }
                    Ok::<_, std::io::Error>(())
                })
            })
            .collect();
        all.into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let elapsed = start.elapsed().as_secs_f64();
    std::fs::remove_dir_all(dir)?;
    Ok(elapsed)
}

/// Both sides in turns with so many sessions: the figures, and the last record.
fn compare(
    place: &Path,
    prefix: &str,
    sessions: usize,
    threads: u64,
    events: u64,
) -> Done<PathBuf> {
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let dirs: Vec<_> = (0..sessions).map(|n| place.join(format!("{prefix}{n}"))).collect();
        let journals = dirs
            .iter()
            .map(|dir| Journal::create(dir, samples::header(), JournalOptions::default()))
            .collect::<Result<Vec<_>, _>>()?;
        let elapsed = append(&journals, threads, events)?;
        drop(journals);
        let files = dirs
            .iter()
            .map(|dir| std::fs::read(dir.join("journal")))
            .collect::<Result<Vec<_>, _>>()?;
        // What a commit interval takes in, or what is the most that waits for an fsync.
        let share = files[0].len() as f64 * DEFAULT_COMMIT_INTERVAL.as_secs_f64() / elapsed;
        let batch = (share as usize).min(MAX_UNSYNCED_BYTES);
        ours.push(elapsed);
        plain.push(write_and_sync(&place.join("plain"), &files, batch)?);
        if round + 1 < ROUNDS {
            dirs.iter().try_for_each(std::fs::remove_dir_all)?;
        }
    }
    let count = (events / threads * threads * sessions as u64) as f64;
    let (ours, plain) = (median(ours), median(plain));
    let name =
        if sessions == 1 { "record".to_owned() } else { format!("record.sessions_{sessions}") };
    print(&format!("{name}.events_per_s"), "events/s", count / ours, count / plain);
    print(&format!("{name}.vs_fsync"), "ms", ours * 1000.0, plain * 1000.0);
    Ok(place.join(format!("{prefix}0")))
}

/// What showing a session's head to others costs who appends.
fn published(place: &Path) -> Done<()> {
    let log = InstallationLog::open(&place.join("log.published"), &samples::keys())?;
    let (mut shown, mut plain) = (Vec::new(), Vec::new());
    for turn in 0..2 * ROUNDS {
        let dir = place.join("published");
        let journal = Journal::create(&dir, samples::header(), JournalOptions::default())?;
        let journals = std::slice::from_ref(&journal);
        let elapsed = std::thread::scope(|scope| {
            let (stop, stopped) = mpsc::channel::<()>();
            let show = turn % 2 == 0;
            let (journal, log) = (&journal, &log);
            let showing = scope.spawn(move || {
                while show && stopped.recv_timeout(SHOWN) == Err(RecvTimeoutError::Timeout) {
                    publish(journal, log, 0, samples::at(1))?;
                }
                Ok::<_, PublishError>(())
            });
            let elapsed = append(journals, 2, COMPARED);
            drop(stop);
            showing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            elapsed
        })?;
        if turn % 2 == 0 { &mut shown } else { &mut plain }.push(elapsed);
        drop(journal);
        std::fs::remove_dir_all(dir)?;
    }
    let count = COMPARED as f64;
    print(
        "record.published.events_per_s",
        "events/s",
        count / median(shown),
        count / median(plain),
    );
    Ok(())
}

/// Each event waits for the disk before the next.
fn latencies(place: &Path) -> Done<()> {
    let dir = place.join("latency");
    let journal = Journal::create(&dir, samples::header(), JournalOptions::default())?;
    let mut file = File::create(place.join("latency.plain"))?;
    let bytes = vec![b'x'; 400];
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for i in 0..TIMED {
        let start = Instant::now();
        samples::observe(&journal, samples::opened(&format!("src/file_{i}.rs")));
        journal.barrier()?;
        ours.push(start.elapsed().as_secs_f64() * 1000.0);
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        plain.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    ours.sort_by(f64::total_cmp);
    plain.sort_by(f64::total_cmp);
    for (name, percent) in [("p50", 50), ("p99", 99)] {
        let at = ours.len() * percent / 100;
        print(&format!("record.durable.{name}"), "ms", ours[at], plain[at]);
    }
    Ok(())
}

fn bytes_on_disk(dir: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        bytes += match path.is_dir() {
            true => bytes_on_disk(&path)?,
            // stat counts blocks of 512 bytes, whatever the file system's are.
            false => path.metadata()?.blocks() * 512,
        };
    }
    Ok(bytes)
}

/// Microseconds that an event costs until it is sealed, in a record of so many.
fn cost(place: &Path, log: &InstallationLog, events: u64) -> Done<f64> {
    let dir = place.join("growth");
    let journal = Journal::create(&dir, samples::header(), JournalOptions::default())?;
    let start = Instant::now();
    append(std::slice::from_ref(&journal), 1, events)?;
    samples::observe(&journal, samples::closed(journal.counts()));
    journal.seal(&samples::keys(), log)?;
    let elapsed = start.elapsed().as_secs_f64();
    drop(journal);
    std::fs::remove_dir_all(dir)?;
    Ok(elapsed * 1_000_000.0 / events as f64)
}

/// Patterns of a policy, as one would write them.
fn patterns() -> Vec<Pattern> {
    let texts = [
        ("ticket", r"ticket=(\d{4,12})".to_owned()),
        ("customer", r"\bcust-[0-9a-f]{12}\b".to_owned()),
        ("iban", r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b".to_owned()),
        ("host", r"(?i)\b[a-z0-9-]+\.corp\.example\b".to_owned()),
    ];
    let named = |(name, pattern): (&str, String)| Pattern { name: name.to_owned(), pattern };
    texts.into_iter().map(named).collect()
}

/// Values that a requester gave a session.
const GIVEN: [&str; 3] = ["staging-eu-1", "correct horse battery staple", "a\"b\\c/d+e"];

/// What a session does: it reads much, writes less, and runs programs with arguments.
fn busy(i: u64) -> Body {
    let names = ["auth/token_store", "billing/invoice", "net/client", "secret/key_ring", "ui/view"];
    let path = format!("src/{}/part_{}/file_{i}.rs", names[(i % 5) as usize], i % 97);
    match i % 16 {
        0 => {
            let argv = ["cargo", "test", "--package", "token-store", "--", &path, "--nocapture"];
            Body::ProcessExecuted(ProcessExecuted {
                argv: argv.map(str::to_owned).to_vec(),
                exe: "/usr/local/cargo/bin/cargo".to_owned(),
                ..samples::executed()
            })
        }
        1 | 2 => samples::written(&path, path.as_bytes()),
        _ => samples::opened(&path),
    }
}

/// Seconds that events cost with a redactor.
fn through(place: &Path, redactor: Redactor, bodies: &[Body]) -> Done<f64> {
    let dir = place.join("redaction");
    let journal = Journal::create(&dir, samples::header(), JournalOptions::default())?
        .with_redactor(Arc::new(redactor));
    let start = Instant::now();
    for body in bodies {
        journal.observe(Draft::new(samples::at(1), samples::process(), body.clone()))?;
    }
    journal.barrier()?;
    let elapsed = start.elapsed().as_secs_f64();
    drop(journal);
    std::fs::remove_dir_all(dir)?;
    Ok(elapsed)
}

fn redaction(place: &Path) -> Done<()> {
    let compile = || {
        let start = Instant::now();
        let redactor = Redactor::new([7; 32], &GIVEN, &patterns())?;
        // The published patterns are compiled when something asks for them.
        std::hint::black_box(redactor.redact("token = x"));
        Ok::<_, Box<dyn Error + Send + Sync>>((start.elapsed().as_secs_f64() * 1000.0, redactor))
    };
    let (first, _) = compile()?;
    let again = (0..ROUNDS).map(|_| Ok(compile()?.0)).collect::<Done<Vec<_>>>()?;
    print("redact.compile_ms", "ms", median(again), first);
    let bodies: Vec<Body> = (0..REDACTED).map(busy).collect();
    let (mut ours, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(through(place, compile()?.1, &bodies)?);
        plain.push(through(place, Redactor::blind(), &bodies)?);
    }
    let count = REDACTED as f64;
    print("record.redaction.vs_plain", "events/s", count / median(ours), count / median(plain));
    Ok(())
}

fn main() -> Done<()> {
    let mut arguments = std::env::args().skip(1);
    let events: u64 = arguments.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let place = match arguments.next() {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let place = place.path();
    redaction(place)?;
    let record = compare(place, "one", 1, 2, COMPARED)?;
    compare(place, "many", 32, 1, COMPARED / 32)?;
    published(place)?;
    latencies(place)?;

    let bytes = std::fs::read(record.join("journal"))?;
    let log_dir = place.join("log");
    let log = InstallationLog::open(&log_dir, &samples::keys())?;
    let found = custody_record::recover(&record, JournalOptions::default())?;
    let count = found.journal.head()?.size as f64;
    samples::observe(&found.journal, samples::authorized());
    samples::observe(&found.journal, samples::closed(found.journal.counts()));
    found.journal.seal(&samples::keys(), &log)?;
    let options = VerifyOptions::new(KeyChoice::Given(samples::keys().verifier()))
        .with_installation_log(&log_dir);
    let start = Instant::now();
    let report = verify(&record, &options);
    let elapsed = start.elapsed().as_secs_f64();
    if !report.is_good() {
        return Err(report.to_string().into());
    }
    let start = Instant::now();
    std::hint::black_box(custody_model::Digest::of(&bytes));
    let hashed = start.elapsed().as_secs_f64();
    print("verify.events_per_s", "events/s", count / elapsed, count / hashed);
    let (on_disk, own) = (bytes_on_disk(&record)? as f64 / count, bytes.len() as f64 / count);
    print("record.bytes_per_event", "bytes", on_disk, own);

    // Of other sessions, so that the log does not tell of forks; in turns, and the best of each: growth, not noise.
    let log = InstallationLog::open(&place.join("log.growth"), &samples::keys())?;
    let (mut short, mut long) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        short = short.min(cost(place, &log, SHORT)?);
    }
    for _ in 0..2 {
        long = long.min(cost(place, &log, events)?);
    }
    print("record.growth", "µs/event", long, short);
    Ok(())
}
