//! What became of the events of a record.

use std::collections::BTreeMap;

use custody_record::{Body, Event};
use serde::{Deserialize, Serialize};

use crate::format::Format;

/// What an export took and what it dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The format.
    pub format: Format,
    /// The version of its specification.
    pub version: String,
    /// Events that were read.
    pub events: u64,
    /// Items that were written: events, spans, records, notes.
    pub written: u64,
    /// The record was read to its last event; otherwise the session still ran, or its record is cut.
    pub complete: bool,
    /// What the format could not take, by its reason: an event's type, or what else there was.
    pub dropped: BTreeMap<String, u64>,
}

impl Summary {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            version: format.version().to_owned(),
            events: 0,
            written: 0,
            complete: false,
            dropped: BTreeMap::new(),
        }
    }

    pub(crate) fn read(&mut self, event: &Event) {
        self.events += 1;
        self.complete = matches!(event.body, Body::SessionClosed(_));
    }

    pub(crate) fn drop(&mut self, reason: &str) {
        self.drop_many(reason, 1);
    }

    pub(crate) fn drop_many(&mut self, reason: &str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason.to_owned()).or_insert(0) += count;
        }
    }

    /// The one that stands in an output, or at its end, of a format that has a place for it as JSON: not in OTLP, whose
    /// session's span has it as attributes, and not where nothing can be dropped.
    #[must_use]
    pub fn found(output: &[u8]) -> Option<Self> {
        const NAME: &[u8] = b"\"custody_export\":";
        let at = output.windows(NAME.len()).rposition(|window| window == NAME)?;
        let rest = &output[at + NAME.len()..];
        serde_json::Deserializer::from_slice(rest).into_iter().next()?.ok()
    }

    /// How much was dropped in all.
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// In words, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { format, version, events, written, complete, dropped } = self;
        let mut text = format!("{events} events, {written} written as {format} {version}");
        let reasons: Vec<String> =
            dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        match reasons.is_empty() {
            true => text.push_str(", nothing dropped"),
            false => {
                let (count, reasons) = (self.dropped_count(), reasons.join(", "));
                text.push_str(&format!(", {count} dropped ({reasons})"));
            }
        }
        if !complete {
            text.push_str("; the record is not closed");
        }
        text
    }
}
