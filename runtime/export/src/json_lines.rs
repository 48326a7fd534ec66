//! JSON Lines: the canonical events (RFC 8785) as they are, each of which names the version of its envelope. Nothing is
//! dropped.

use custody_record::Event;

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError};

pub(crate) struct JsonLines(Summary);

impl JsonLines {
    pub(crate) fn new() -> Self {
        Self(Summary::new(Format::JsonLines))
    }
}

impl Export for JsonLines {
    fn event(
        &mut self,
        event: &Event,
        canonical: &[u8],
        _: &dyn Content,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        self.0.read(event);
        self.0.written += 1;
        out.extend_from_slice(canonical);
        out.push(b'\n');
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Vec<u8>) -> Result<Summary, ExportError> {
        Ok(self.0)
    }
}
