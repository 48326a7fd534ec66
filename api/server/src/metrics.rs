//! Counters for Prometheus: text exposition format, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use custody_session::{SessionError, Swept};

/// Upper bounds of the histogram of times, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Copy, Default)]
struct Times {
    /// Calls within each bound, and all of them.
    within: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

#[derive(Default)]
struct Counts {
    calls: BTreeMap<(&'static str, u16), u64>,
    times: BTreeMap<&'static str, Times>,
    refused: BTreeMap<&'static str, u64>,
    unaudited: u64,
    pushed: BTreeMap<(String, &'static str), u64>,
    push_pending: BTreeMap<String, u64>,
    swept: BTreeMap<&'static str, u64>,
    passes: BTreeMap<&'static str, u64>,
}

/// What happened since the server started.
#[derive(Default)]
pub struct Metrics {
    counts: Mutex<Counts>,
}

/// A value as it is now.
pub(crate) struct Gauge {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) value: u64,
}

impl Metrics {
    /// Nothing happened yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A call was answered.
    pub(crate) fn called(&self, operation: &'static str, status: u16, took: Duration) {
        self.change(|counts| {
            *counts.calls.entry((operation, status)).or_default() += 1;
            let times = counts.times.entry(operation).or_default();
            let seconds = took.as_secs_f64();
            times.seconds += seconds;
            for (within, bound) in times.within.iter_mut().zip(BOUNDS.into_iter().chain([f64::MAX]))
            {
                *within += u64::from(seconds <= bound);
            }
        });
    }

    /// Somebody of whom it is not known who they are was refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.change(|counts| *counts.refused.entry(reason).or_default() += 1);
    }

    /// The result of a call could not be put on record.
    pub(crate) fn unaudited(&self) {
        self.change(|counts| counts.unaudited += 1);
    }

    /// Something became of what is sent to a destination.
    pub fn pushed(&self, destination: &str, outcome: &'static str, more: u64) {
        self.change(|counts| {
            *counts.pushed.entry((destination.to_owned(), outcome)).or_default() += more;
        });
    }

    /// So many sessions are not yet sent whole to a destination.
    pub fn push_pending(&self, destination: &str, sessions: u64) {
        self.change(|counts| {
            counts.push_pending.insert(destination.to_owned(), sessions);
        });
    }

    /// A pass of the sweeper ended.
    pub fn swept(&self, pass: &Result<Swept, SessionError>) {
        self.change(|counts| {
            let outcome = match pass {
                Ok(swept) => {
                    for (outcome, sessions) in
                        [("erased", swept.erased.len()), ("failed", swept.failed.len())]
                    {
                        *counts.swept.entry(outcome).or_default() += sessions as u64;
                    }
                    "done"
                }
                Err(SessionError::Clock { .. }) => "clock_refused",
                Err(_) => "failed",
            };
            *counts.passes.entry(outcome).or_default() += 1;
        });
    }

    pub(crate) fn text(&self, gauges: &[Gauge]) -> String {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page::default();
        page.head("custody_api_calls_total", "counter", "Calls that were answered.");
        for ((operation, status), count) in &counts.calls {
            page.line(
                "custody_api_calls_total",
                &format!("operation=\"{operation}\",status=\"{status}\""),
                count,
            );
        }
        page.head("custody_api_seconds", "histogram", "Time to the beginning of an answer.");
        for (operation, times) in &counts.times {
            let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(times.within) {
                let labels = format!("operation=\"{operation}\",le=\"{bound}\"");
                page.line("custody_api_seconds_bucket", &labels, &count);
            }
            let labels = format!("operation=\"{operation}\"");
            page.line("custody_api_seconds_sum", &labels, &times.seconds);
            page.line("custody_api_seconds_count", &labels, &times.within[BOUNDS.len()]);
        }
        let help = "Calls refused because it was not known who called.";
        page.head("custody_api_unauthenticated_total", "counter", help);
        for (reason, count) in &counts.refused {
            let labels = format!("reason=\"{reason}\"");
            page.line("custody_api_unauthenticated_total", &labels, count);
        }
        let help = "Calls whose result could not be put on record.";
        page.head("custody_api_unaudited_total", "counter", help);
        page.line("custody_api_unaudited_total", "", &counts.unaudited);
        let help = "What became of what is sent to others.";
        page.head("custody_push_total", "counter", help);
        for ((destination, outcome), count) in &counts.pushed {
            let labels = format!("destination=\"{destination}\",outcome=\"{outcome}\"");
            page.line("custody_push_total", &labels, count);
        }
        let help = "Sessions of which a destination has not got all.";
        page.head("custody_push_pending_sessions", "gauge", help);
        for (destination, sessions) in &counts.push_pending {
            let labels = format!("destination=\"{destination}\"");
            page.line("custody_push_pending_sessions", &labels, sessions);
        }
        let help = "Passes of the retention sweeper.";
        page.head("custody_retention_passes_total", "counter", help);
        for (outcome, count) in &counts.passes {
            page.line("custody_retention_passes_total", &format!("outcome=\"{outcome}\""), count);
        }
        let help = "Sessions whose retention class had ended, by what became of them.";
        page.head("custody_retention_sessions_total", "counter", help);
        for (outcome, count) in &counts.swept {
            page.line("custody_retention_sessions_total", &format!("outcome=\"{outcome}\""), count);
        }
        for gauge in gauges {
            page.head(gauge.name, "gauge", gauge.help);
            page.line(gauge.name, "", &gauge.value);
        }
        page.text
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

// Writing to a string does not fail.
impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: &dyn std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_in_every_bucket_that_holds_them() {
        let metrics = Metrics::new();
        metrics.called("me", 200, Duration::from_millis(3));
        metrics.refused("expired");
        let text = metrics.text(&[Gauge { name: "custody_x", help: "x", value: 4 }]);
        for line in [
            "custody_api_calls_total{operation=\"me\",status=\"200\"} 1",
            "custody_api_seconds_bucket{operation=\"me\",le=\"0.0025\"} 0",
            "custody_api_seconds_bucket{operation=\"me\",le=\"0.005\"} 1",
            "custody_api_seconds_bucket{operation=\"me\",le=\"+Inf\"} 1",
            "custody_api_seconds_count{operation=\"me\"} 1",
            "custody_api_unauthenticated_total{reason=\"expired\"} 1",
            "custody_x 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
