//! asciicast v3: the recording of the terminal, byte for byte as it was recorded, and a comment line behind it that says
//! what it lacks.

use custody_record::{Body, Event};
use serde_json::json;

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError};

pub(crate) const VERSION: &str = "3";

/// Of the blob that is a recording.
const ROLE: &str = "terminal";

pub(crate) struct Asciicast(Summary);

impl Asciicast {
    pub(crate) fn new() -> Self {
        Self(Summary::new(Format::Asciicast))
    }
}

impl Export for Asciicast {
    fn event(
        &mut self,
        event: &Event,
        _: &[u8],
        content: &dyn Content,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        self.0.read(event);
        let Body::TerminalRecorded(recorded) = &event.body else {
            self.0.drop(event.body.type_name());
            return Ok(());
        };
        self.0.drop_many("output bytes past the limit of recordings", recorded.cut_bytes);
        self.0.drop_many("input bytes, which are never recorded", recorded.input_bytes);
        let Some(blob) = event.blobs.iter().find(|blob| blob.role == ROLE) else {
            self.0.drop("recording that the event does not name");
            return Ok(());
        };
        match content.blob(&blob.digest)? {
            Some(recording) => {
                out.extend(recording);
                self.0.written += 1;
            }
            None => self.0.drop("recording whose content is not kept any more"),
        }
        Ok(())
    }

    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<Summary, ExportError> {
        // Without a header there is no recording for a comment to stand in.
        if self.0.written > 0 {
            out.extend_from_slice(
                format!("# {}\n", json!({ "custody_export": self.0 })).as_bytes(),
            );
        }
        Ok(self.0)
    }
}
