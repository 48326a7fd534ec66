//! Figures: medians, ratios, geometric means, and how they are shown.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One figure of `bench.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Stable and dotted, as in `mount.find.vs_native`.
    pub(crate) name: String,
    /// Of `value` and `baseline`: `ms`, `ratio`, `events/s` or `sessions/s`.
    unit: String,
    /// What was measured.
    value: f64,
    /// The same of what it is compared with.
    baseline: Option<f64>,
    /// `value` to `baseline`.
    ratio: Option<f64>,
}

impl Figure {
    /// A time beside that of something else.
    pub(crate) fn compared(name: String, value: Duration, baseline: Duration) -> Self {
        let (value, baseline) = (milliseconds(value), milliseconds(baseline));
        Self {
            name,
            unit: "ms".to_owned(),
            value,
            baseline: Some(baseline),
            ratio: Some(value / baseline),
        }
    }

    /// How many a second, beside how many a second elsewhere.
    pub(crate) fn rate(name: String, unit: &str, value: f64, baseline: f64) -> Self {
        Self {
            name,
            unit: unit.to_owned(),
            value,
            baseline: Some(baseline),
            ratio: Some(value / baseline),
        }
    }

    /// The geometric mean of the ratios of some figures.
    pub(crate) fn geometric_mean(name: String, of: &[Self]) -> Self {
        let ratios: Vec<f64> = of.iter().filter_map(|figure| figure.ratio).collect();
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / count(&ratios)).exp();
        Self { name, unit: "ratio".to_owned(), value: mean, baseline: Some(1.0), ratio: Some(mean) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of figures")]
fn count(ratios: &[f64]) -> f64 {
    ratios.len() as f64
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The median; the lower of two in the middle.
///
/// # Panics
/// If there are no times.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() - 1) / 2]
}

/// The time within which so many in a hundred are, of sorted times.
///
/// # Panics
/// If there are no times.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent).div_ceil(100).max(1) - 1]
}

/// The Markdown table of `README.md`.
pub(crate) fn table(figures: &[Figure], machine: &str) -> String {
    let mut table = format!("Measured on {machine}\n\n");
    table.push_str("| figure | value | compared with | ratio |\n|---|---:|---:|---:|\n");
    for Figure { name, unit, value, baseline, ratio } in figures {
        let number = |value: f64| match unit.as_str() {
            "ratio" => format!("{value:.2}"),
            // Three digits or more, so that small figures can be told apart.
            unit if value < 10.0 => format!("{value:.2} {unit}"),
            unit if value < 100.0 => format!("{value:.1} {unit}"),
            unit => format!("{value:.0} {unit}"),
        };
        let baseline = baseline.map(number).unwrap_or_default();
        let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {} | {baseline} | {ratio} |", number(*value));
    }
    table
}

/// Processors, memory, kernel and distribution of this machine.
pub(crate) fn machine() -> String {
    let field = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once([':', '='])
            .map_or("", |(_, value)| value)
            .trim()
            .trim_matches('"')
            .to_owned()
    };
    let memory = field("/proc/meminfo", "MemTotal");
    let gibibytes =
        memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} processors ({}), {gibibytes} GiB of memory, {}, Linux {}",
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        field("/proc/cpuinfo", "model name"),
        field("/etc/os-release", "PRETTY_NAME"),
        kernel.split('-').next().unwrap_or_default().trim(),
    )
}
