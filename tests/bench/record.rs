//! How many events a second become durable and how soon, beside writing and fsyncing the same bytes; how many a second
//! are verified; what they take on disk; whether a long record costs more for each; what redaction costs. The record's own example
//! measures all of it, on the disk that the target directory is on.

use std::error::Error;
use std::process::Command;

use crate::Places;
use crate::figures::Figure;
use crate::options::Options;

/// Runs the example and takes its figures over.
pub(crate) fn measure(places: &Places, options: &Options) -> Result<Vec<Figure>, Box<dyn Error>> {
    let output = Command::new("cargo")
        .current_dir(&places.checkout)
        .args(["run", "--locked", "--quiet", "--release", "--package", "custody-record"])
        .args(["--example", "record_bench", "--", &options.events.to_string()])
        .arg(&places.work)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    let figures: Vec<Figure> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, serde_json::Error>>()?;
    for name in FIGURES {
        if !figures.iter().any(|figure| figure.name == name) {
            return Err(format!("{name} is missing in {lines}").into());
        }
    }
    Ok(figures)
}

const FIGURES: [&str; 11] = [
    "redact.compile_ms",
    "record.redaction.vs_plain",
    "record.events_per_s",
    "record.vs_fsync",
    "record.sessions_32.events_per_s",
    "record.sessions_32.vs_fsync",
    "record.durable.p50",
    "record.durable.p99",
    "verify.events_per_s",
    "record.bytes_per_event",
    "record.growth",
];
