//! `custody verify`, `custody erase` and `custody investigate`.

use clap::Args;

/// `custody verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody verify last
  custody verify last --download
  custody verify /evidence/record --key 'custody.example+1a2b3c4d+AQ…'

A directory is checked here, offline. A session is checked by the server that has it; with --download its record is
brought here and checked here.

Two verdicts: integrity (is what is there unaltered?) and completeness (is everything there?).
Exit code 0 if both hold, 68 if integrity is broken, 69 if the record is incomplete.")]
pub struct VerifyArgs {
    /// A session's id, the beginning of it, `last`, or the directory of a record.
    #[arg(value_name = "SESSION|DIR")]
    pub target: String,
    /// The verifier key that you trust (C2SP signed-note), instead of the installation's own.
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// Bring the record of the session here and check it here, instead of believing the server.
    #[arg(long)]
    pub download: bool,
}

/// `custody erase`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody erase 0197f0a2 --reason 'asked for under article 17'

The terminal, the diff and the request become unreadable for everybody, for ever. Events, digests, proofs and the
seal stay, and who erased it, when and why is on record. Commits in repositories are not touched.")]
pub struct EraseArgs {
    /// A session's id, the beginning of it, or `last`.
    pub session: String,
    /// Why, for the record.
    #[arg(long)]
    pub reason: String,
}

/// `custody investigate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody investigate HEAD
  custody investigate src/parser.rs:120
  custody investigate src/parser.rs:120@v1.4.2")]
pub struct InvestigateArgs {
    /// A commit, or FILE:LINE, or FILE:LINE@REVISION.
    #[arg(value_name = "QUESTION")]
    pub question: String,
    /// The checkout whose history is meant, or the name of a registered repository; this directory without it.
    #[arg(long, value_name = "DIR|NAME")]
    pub repo: Option<String>,
}
