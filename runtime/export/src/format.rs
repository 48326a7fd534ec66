//! The formats, and the versions of them that are written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A format of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The canonical events themselves, one a line.
    JsonLines,
    /// Open Cybersecurity Schema Framework events, one a line.
    Ocsf,
    /// CloudEvents in JSON, one a line.
    CloudEvents,
    /// OpenTelemetry spans: one OTLP `TracesData` in JSON a line.
    Otlp,
    /// The recording of the terminal.
    Asciicast,
    /// Agent Trace records, one for each commit, one a line.
    AgentTrace,
    /// Git AI authorship logs, one for each commit: a line with the commit's id and the note.
    GitAi,
}

/// What is no format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no format of exports")]
pub struct UnknownFormat(String);

impl Format {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::JsonLines,
        Self::Ocsf,
        Self::CloudEvents,
        Self::Otlp,
        Self::Asciicast,
        Self::AgentTrace,
        Self::GitAi,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "json-lines",
            Self::Ocsf => "ocsf",
            Self::CloudEvents => "cloud-events",
            Self::Otlp => "otlp",
            Self::Asciicast => "asciicast",
            Self::AgentTrace => "agent-trace",
            Self::GitAi => "git-ai",
        }
    }

    /// The version of its specification that is written. The output names it.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            // Of the event's envelope.
            Self::JsonLines => "1",
            Self::Ocsf => crate::ocsf::VERSION,
            Self::CloudEvents => crate::cloud_events::SPECIFICATION,
            Self::Otlp => crate::otlp::CONVENTIONS,
            Self::Asciicast => crate::asciicast::VERSION,
            Self::AgentTrace => crate::agent_trace::VERSION,
            Self::GitAi => crate::git_ai::SCHEMA_VERSION,
        }
    }

    /// The media type of the output.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::JsonLines | Self::Ocsf | Self::CloudEvents | Self::Otlp | Self::GitAi => {
                "application/x-ndjson"
            }
            Self::Asciicast => "application/x-asciicast",
            Self::AgentTrace => "application/vnd.agent-trace.record+json",
        }
    }

    /// How a file of it is named, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Ocsf => "ocsf.jsonl",
            Self::CloudEvents => "cloudevents.jsonl",
            Self::Otlp => "otlp.jsonl",
            Self::Asciicast => "cast",
            Self::AgentTrace => "agent-trace.jsonl",
            Self::GitAi => "git-ai.jsonl",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.iter().find(|format| format.as_str() == text);
        found.copied().ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}
