//! Git AI Standard v3.0.0 (`authorship/3.0.0`): an authorship log for each commit of the session, to be attached to it as a
//! git note under [`NOTES_REF`].
//!
//! Sessions are written in the standard's form for sessions (`s_…::t_…`), which holds no transcript. The model is
//! `unknown` for as long as none was seen to answer.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use custody_model::GitOid;
use custody_record::Event;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::format::Format;
use crate::summary::Summary;
use crate::{Content, Export, ExportError, attribution, line};

pub(crate) const SCHEMA_VERSION: &str = "authorship/3.0.0";

/// Where the notes are kept.
pub const NOTES_REF: &str = "refs/notes/ai";

/// The tool's name in what a session's key is made from.
const TOOL: &str = "custody";

/// Digits of a key.
const KEY_DIGITS: usize = 14;

/// A line of the export: what is attached to which commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// The commit.
    pub commit: GitOid,
    /// The authorship log.
    pub note: String,
    /// What became of the record's events.
    pub custody_export: Summary,
}

pub(crate) struct GitAi {
    summary: Summary,
    version: &'static str,
    /// Until the end: each says what the whole export dropped.
    notes: Vec<Pending>,
}

/// A note whose metadata lack the summary.
struct Pending {
    commit: GitOid,
    /// The attestation section.
    attested: String,
    session: String,
    record: Value,
}

impl GitAi {
    pub(crate) fn new(version: &'static str) -> Self {
        Self { summary: Summary::new(Format::GitAi), version, notes: Vec::new() }
    }
}

fn key(prefix: &str, of: &str) -> String {
    let hex = hex::encode(Sha256::digest(of.as_bytes()));
    format!("{prefix}{}", &hex[..KEY_DIGITS])
}

/// The standard's line ranges, as in `1-4,9`.
fn ranges(lines: &[RangeInclusive<u64>]) -> String {
    let one = |lines: &RangeInclusive<u64>| match (lines.start(), lines.end()) {
        (start, end) if start == end => start.to_string(),
        (start, end) => format!("{start}-{end}"),
    };
    lines.iter().map(one).collect::<Vec<_>>().join(",")
}

impl Export for GitAi {
    fn event(
        &mut self,
        event: &Event,
        _: &[u8],
        content: &dyn Content,
        _: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        let told = attribution::of_event(event, content, &mut self.summary)?;
        let Some((commit, files)) = told else { return Ok(()) };
        let session = key("s_", &format!("{TOOL}:{}", event.session));
        // The standard's trace is one checkpoint of a session: here, a commit.
        let trace = key("t_", &event.id.to_string());
        let mut attested = String::new();
        for (path, lines) in files {
            // The standard has no way to escape these.
            if path.contains(['"', '\n', '\r', '\\']) || path == "---" {
                self.summary.drop("file whose path the standard can't spell");
                continue;
            }
            let quote = if path.contains(char::is_whitespace) { "\"" } else { "" };
            // Writing to a string does not fail.
            let _ =
                writeln!(attested, "{quote}{path}{quote}\n  {session}::{trace} {}", ranges(&lines));
        }
        self.summary.written += 1;
        let mut record = json!({
            "agent_id": { "tool": TOOL, "id": event.session, "model": "unknown" },
            "custom_attributes": {
                "custody_version": self.version,
                "event": event.id,
                "policy": event.policy,
                "assurance": "lines observed, authorship inferred",
            },
        });
        if let Some(user) = &event.on_behalf_of {
            record["human_author"] = json!(user);
        }
        let commit = commit.commit.clone();
        self.notes.push(Pending { commit, attested, session, record });
        Ok(())
    }

    fn finish(self: Box<Self>, out: &mut Vec<u8>) -> Result<Summary, ExportError> {
        for Pending { commit, attested, session, mut record } in self.notes {
            // The standard's attributes are texts.
            record["custom_attributes"]["custody_export"] = json!(json!(self.summary).to_string());
            let metadata = json!({
                "schema_version": SCHEMA_VERSION,
                "base_commit_sha": commit,
                "prompts": {},
                "sessions": { session: record },
            });
            let note = format!("{attested}---\n{metadata:#}\n");
            line(out, &Note { commit, note, custody_export: self.summary.clone() })?;
        }
        Ok(self.summary)
    }
}
