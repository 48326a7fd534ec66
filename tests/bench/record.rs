//! How many events a second become durable, and how many a second are verified: the record's own example measures both,
//! on the disk that the target directory is on.

use std::error::Error;
use std::process::Command;

use crate::Places;
use crate::figures::Figure;

/// Runs the example and takes its figures over.
pub(crate) fn measure(places: &Places) -> Result<Vec<Figure>, Box<dyn Error>> {
    let output = Command::new("cargo")
        .current_dir(&places.checkout)
        .args(["run", "--locked", "--quiet", "--release", "--package", "custody-record"])
        .args(["--example", "record_bench", "--", EVENTS])
        .arg(&places.work)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    let figures: Vec<Figure> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, serde_json::Error>>()?;
    for name in ["record.events_per_s", "verify.events_per_s"] {
        if !figures.iter().any(|figure| figure.name == name) {
            return Err(format!("{name} is missing in {lines}").into());
        }
    }
    Ok(figures)
}

/// Enough for some seconds of each.
const EVENTS: &str = "400000";
