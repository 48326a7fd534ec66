//! CloudEvents 1.0.2 in the JSON event format: the canonical event is the data, so that nothing is dropped.
//!
//! `id` is the event's own, `source` the session, and together they are unique, as the specification wants; the extension
//! `sequence` (CloudEvents extensions, Sequence) is the event's place in the session's log.

use custody_record::Event;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError};

/// The release of the specification; `specversion` holds its first two numbers.
pub(crate) const SPECIFICATION: &str = "1.0.2";

/// The media type of one event in structured mode.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: String,
    subject: String,
    datacontenttype: &'static str,
    sequence: String,
    sequencetype: &'static str,
    data: &'a RawValue,
}

/// One event in structured mode.
///
/// # Errors
/// If `canonical` is not JSON.
pub fn cloud_event(event: &Event, canonical: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&CloudEvent {
        specversion: "1.0",
        id: event.id.to_string(),
        source: format!("urn:uuid:{}", event.session),
        kind: format!("dev.custody.{}", event.body.type_name()),
        time: event.time.to_string(),
        subject: format!("{}/{}", event.session, event.seq),
        datacontenttype: "application/json",
        // Twenty digits, so that the order of the text is that of the numbers.
        sequence: format!("{:020}", event.seq),
        sequencetype: "Custody",
        data: serde_json::from_slice(canonical)?,
    })
}

pub(crate) struct CloudEvents(Summary);

impl CloudEvents {
    pub(crate) fn new() -> Self {
        Self(Summary::new(Format::CloudEvents))
    }
}

impl Export for CloudEvents {
    fn event(
        &mut self,
        event: &Event,
        canonical: &[u8],
        _: &dyn Content,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        self.0.read(event);
        self.0.written += 1;
        out.extend(cloud_event(event, canonical)?);
        out.push(b'\n');
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Vec<u8>) -> Result<Summary, ExportError> {
        Ok(self.0)
    }
}
