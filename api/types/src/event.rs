//! Events of a session's record: pages and the live stream.

use std::borrow::Cow;

use custody_model::WorkspacePath;
use custody_record::event::{Event, EventError};
use custody_record::witness::WitnessAssurance;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An event in its canonical form (RFC 8785): byte for byte as it was recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CanonicalEvent(pub Box<RawValue>);

impl CanonicalEvent {
    /// From the bytes of the record.
    ///
    /// # Errors
    /// If they are no JSON.
    pub fn from_bytes(bytes: Vec<u8>) -> serde_json::Result<Self> {
        let text = String::from_utf8(bytes)
            .map_err(|error| serde::de::Error::custom(error.utf8_error()))?;
        RawValue::from_string(text).map(Self)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The event that it is.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn parse(&self) -> Result<Event, EventError> {
        Event::from_canonical(self.as_str().as_bytes())
    }
}

impl JsonSchema for CanonicalEvent {
    fn schema_name() -> Cow<'static, str> {
        Event::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Event::json_schema(generator)
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// From this event on; the first without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// At most so many; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::page::MAX_PAGE))]
    pub limit: Option<u32>,
    /// Of these types, or of all that begin with one of these and a dot: `file.read`, `file`; of every type without it.
    #[serde(default, rename = "type", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// That tell of this path or of one below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<WorkspacePath>,
}

/// A part of a record.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventPage {
    /// The events in their order.
    pub items: Vec<CanonicalEvent>,
    /// Where to look on, to be given as `from`; absent if everything that is on record by now was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The record is sealed, and nothing follows this page.
    pub end: bool,
    /// Who but the installation vouches for the record, up to its newest head in the installation log.
    #[serde(default)]
    pub witnesses: WitnessAssurance,
}

/// From where a stream is wanted. `Last-Event-ID` says the same and goes before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamQuery {
    /// From this event on; the first without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// Name of the last event of a stream (WHATWG HTML, server-sent events): the record is sealed and complete. Its data is a
/// [`StreamEnd`].
pub const STREAM_END: &str = "end";

/// What the last event of a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamEnd {
    /// Number of events in the record.
    pub events: u64,
}
