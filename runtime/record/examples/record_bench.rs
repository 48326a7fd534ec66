//! Throughput of the record: `record_bench [EVENTS] [DIRECTORY]` prints one JSON line per figure. The directory should
//! be on the disk that is meant; without one it is the system's directory for temporary files.
//!
//! `record.events_per_s`: events appended by two threads, chained, written and durable by group commit, against writing and
//! fsyncing the same bytes in batches of the size that a commit interval had. `verify.events_per_s`: a sealed
//! record, against one thread that only hashes the same bytes with SHA-256.

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use custody_record::journal::DEFAULT_COMMIT_INTERVAL;
use custody_record::{
    Draft, InstallationLog, Journal, JournalOptions, KeyChoice, Sink, VerifyOptions, verify,
};

fn print(name: &str, value: f64, baseline: f64) {
    let line = serde_json::json!({
        "name": name,
        "unit": "events/s",
        "value": value.round(),
        "baseline": baseline.round(),
        "ratio": (value / baseline * 1000.0).round() / 1000.0,
    });
    println!("{line}");
}

fn write_and_sync(path: &Path, bytes: &[u8], batch: usize) -> std::io::Result<f64> {
    let start = Instant::now();
    let mut file = File::create(path)?;
    for chunk in bytes.chunks(batch.max(4096)) {
        file.write_all(chunk)?;
        file.sync_data()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let events: u64 = arguments.next().map_or(Ok(600_000), |text| text.parse())?;
    let place = match arguments.next() {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let (record, log) = (place.path().join("record"), place.path().join("log"));
    let journal = Journal::create(&record, samples::header(), JournalOptions::default())?;

    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|t| {
                let journal = &journal;
                scope.spawn(move || {
                    for i in 0..events / 2 {
                        let body =
                            samples::opened(&format!("src/module_{t}/part_{}/file_{i}.rs", i % 97));
                        journal.observe(Draft::new(samples::at(1), samples::process(), body))?;
                    }
                    journal.barrier()
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let elapsed = start.elapsed().as_secs_f64();

    let bytes = std::fs::read(record.join("journal"))?;
    let batch = bytes.len() as f64 * DEFAULT_COMMIT_INTERVAL.as_secs_f64() / elapsed;
    let plain = write_and_sync(&place.path().join("plain"), &bytes, batch as usize)?;
    let count = (events / 2 * 2) as f64;
    print("record.events_per_s", count / elapsed, count / plain);

    samples::observe(&journal, samples::authorized());
    samples::observe(&journal, samples::closed(journal.counts()));
    journal.seal(&samples::keys(), &InstallationLog::open(&log, &samples::keys())?)?;
    let options = VerifyOptions::new(KeyChoice::Given(samples::keys().verifier()))
        .with_installation_log(&log);
    let start = Instant::now();
    let report = verify(&record, &options);
    let elapsed = start.elapsed().as_secs_f64();
    if !report.is_good() {
        return Err(report.to_string().into());
    }
    let start = Instant::now();
    std::hint::black_box(custody_model::Digest::of(&bytes));
    print("verify.events_per_s", count / elapsed, count / start.elapsed().as_secs_f64());
    Ok(())
}
