//! `custody verify`, `custody investigate` and `custody keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// The history of keys (`keys/history.json`) that the key stands in: what the installation's other keys sealed in
    /// their time is good as well.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub key_history: Option<PathBuf>,
    /// Bring the record of the session here and check it here, instead of believing the server.
    #[arg(long)]
    pub download: bool,
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

/// `custody keys …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody keys list
  custody keys list -o json
  custody keys rotate

They work on the state directory of this machine, whether or not a server runs. Each new key is signed by the one before
it and signs that itself, so that whoever trusts one of them can check all: `keys/history.json` holds the chain. What a
key signed in its time stays good; what it signs later is refused. Running sessions and servers follow by themselves.")]
pub enum KeysCommand {
    /// The keys, the first one first, and which heads of the installation log each may have signed.
    List,
    /// Put a new key in force. The old secret is gone afterwards.
    Rotate,
}
