//! Agent Trace 0.1.0 (RFC of January 2026): one record for each commit of the session.
//!
//! The lines are what the session's commit added, which was observed. That an agent's model wrote them is inferred from
//! what sessions are for as long as no model was seen to answer; `metadata` says so.

use custody_record::Event;
use serde_json::{Value, json};

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError, attribution, line};

pub(crate) const VERSION: &str = "0.1.0";

pub(crate) struct AgentTrace {
    summary: Summary,
    version: &'static str,
    /// Until the end: each says what the whole export dropped.
    records: Vec<Value>,
}

impl AgentTrace {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { summary: Summary::new(Format::AgentTrace), version, records: Vec::new() }
    }
}

impl Export for AgentTrace {
    fn event(
        &mut self,
        event: &Event,
        _: &[u8],
        content: &dyn Content,
        _: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        let told = attribution::of_event(event, content, &mut self.summary)?;
        let Some((commit, files)) = told else { return Ok(()) };
        let session = format!("urn:uuid:{}", event.session);
        let files: Vec<_> = files
            .into_iter()
            .map(|(path, lines)| {
                let ranges: Vec<_> = lines
                    .iter()
                    .map(|lines| json!({ "start_line": lines.start(), "end_line": lines.end() }))
                    .collect();
                let conversation =
                    json!({ "url": session, "contributor": { "type": "ai" }, "ranges": ranges });
                json!({ "path": path, "conversations": [conversation] })
            })
            .collect();
        self.summary.written += 1;
        let record = json!({
            "version": VERSION,
            "id": event.id,
            "timestamp": event.time,
            "vcs": { "type": "git", "revision": commit.commit },
            "tool": { "name": "custody", "version": self.version },
            "files": files,
            "metadata": { "dev.custody": {
                "session": event.session,
                "requester": event.on_behalf_of,
                "policy": event.policy,
                "event": event.id,
                "seq": event.seq,
                "assurance": { "lines": "observed", "contributor": "inferred" },
            } },
        });
        self.records.push(record);
        Ok(())
    }

    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<Summary, ExportError> {
        for mut record in self.records {
            record["metadata"]["dev.custody"]["custody_export"] = json!(self.summary);
            line(out, &record)?;
        }
        Ok(self.summary)
    }
}
