//! `custody export`.

use std::path::PathBuf;

use clap::Args;
use custody_export::Format;

/// `custody export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Formats:
  json-lines    the events themselves, in their canonical form
  ocsf          OCSF 1.8.0 events
  cloud-events  CloudEvents 1.0.2
  otlp          OpenTelemetry spans (OTLP/JSON, semantic conventions 1.44.0)
  asciicast     the terminal: asciicast v3
  agent-trace   Agent Trace 0.1.0, a record for each commit
  git-ai        Git AI authorship/3.0.0, a note for each commit

What a format can't hold is counted in the output itself, and said at the end.

Examples:
  custody export last --format ocsf --file session.ocsf.jsonl
  custody export last --format asciicast --file session.cast
  custody export 0197f0a2 --format otlp | curl --data-binary @- …
  custody export last --format git-ai --write .     # git notes under refs/notes/ai")]
pub struct ExportArgs {
    /// A session's id, the beginning of it, or `last`.
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// The format.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Format,
    /// The file; standard output without it.
    #[arg(long, value_name = "FILE|-")]
    pub file: Option<PathBuf>,
    /// With git-ai: attach the notes to the session's commits in this repository.
    #[arg(long, value_name = "REPO", conflicts_with = "file")]
    pub write: Option<PathBuf>,
}

fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|error: custody_export::UnknownFormat| {
        let names: Vec<&str> = Format::ALL.iter().map(|format| format.as_str()).collect();
        format!("{error}; there are {}", names.join(", "))
    })
}
