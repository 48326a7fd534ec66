//! `custody verify`, `custody erase`, `custody investigate` and `custody keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `custody verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody verify last
  custody verify last --download
  custody verify /evidence/record --key 'custody.example+1a2b3c4d+AQ…'
  custody verify evidence.tar --key 'custody.example+1a2b3c4d+AQ…'

A directory or an evidence pack is checked here, offline. A session is checked by the server that has it; with --download its record is
brought here and checked here.

  custody verify event.tlog-proof --key 'custody.example+1a2b3c4d+AQ…'
  custody verify --checkpoint mine.checkpoint yours.checkpoint
  custody verify installation --checkpoint mine.checkpoint yours.checkpoint

A proof file (of `custody proof`) is checked offline. Checkpoints are heads of one log that several people were shown: they are
compared with each other, and with the log as it is now if it is named, as `installation`, `control`, a session or the
directory of a log. A log that showed them different things is named as forked.

Two verdicts: integrity (is what is there unaltered?) and completeness (is everything there?).
Exit code 0 if both hold, 68 if integrity is broken, 69 if the record is incomplete, 79 if the quorum of --policy is not met, 80 if
nobody vouched for the key: it was taken from what was checked.")]
pub struct VerifyArgs {
    /// A session's id, the beginning of it, `last`, the directory of a record, an evidence pack, or a file that ends in `.tlog-proof`.
    #[arg(value_name = "SESSION|DIR|FILE", required_unless_present = "checkpoint")]
    pub target: Option<String>,
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
    /// The witnesses whose cosignatures you want, as a trust policy (C2SP tlog-policy), for what is checked here.
    #[arg(long, value_name = "FILE", alias = "witnesses")]
    pub policy: Option<PathBuf>,
    /// A copy of the installation log to compare a record's directory with.
    #[arg(long, value_name = "DIR")]
    pub installation_log: Option<PathBuf>,
    /// Heads of one log that several people were shown.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub checkpoint: Vec<PathBuf>,
}

/// `custody proof`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody proof last 42 --file event.tlog-proof
  custody proof /evidence/record 42 --without-event
  custody proof installation 7 -o json
  custody proof installation --head >mine.checkpoint
  custody proof installation --consistency mine.checkpoint

LOG is `installation`, `control`, a session, or the directory of a log or of a record. Of a session that lives what its keeper
signed last can be proved, at most about a second ago.

A proof that an entry is in a log is a C2SP tlog-proof file: `custody verify FILE.tlog-proof`, or any other tool for that
format, checks it offline. The entry itself is its extra data, unless --without-event leaves it out.
A proof that a log goes on from an older head is written as C2SP tlog-witness asks a witness: `old <size>`, the hashes, and the
newer head.")]
pub struct ProofArgs {
    /// Of which log.
    #[arg(value_name = "LOG")]
    pub log: String,
    /// Which entry, from 0 on; in a session's log an event's `seq`.
    #[arg(value_name = "SEQ", required_unless_present_any = ["consistency", "head"])]
    pub seq: Option<u64>,
    /// Prove that the log goes on from here: a checkpoint's file, or the size that the log had.
    #[arg(long, value_name = "FILE|SIZE", conflicts_with = "seq")]
    pub consistency: Option<String>,
    /// Give the log's newest head, as others are shown it.
    #[arg(long, conflicts_with_all = ["seq", "consistency"])]
    pub head: bool,
    /// Write it here instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Leave the entry itself out of its proof.
    #[arg(long)]
    pub without_event: bool,
    /// The verifier key that you trust (C2SP signed-note), instead of the installation's own.
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
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

/// `custody vault …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody vault show
  custody vault rewrap

They work on the state directory of this machine, whether or not a server runs. What wraps the keys is `vault.wrapping` of the
configuration; restart a server after it was changed, before the keys are wrapped anew. Whoever is interrupted runs it again:
each key is wrapped as before or anew.")]
pub enum VaultCommand {
    /// What wraps how many of the keys that contents are sealed with.
    Show,
    /// Wrap all keys by what the configuration says, and overwrite how they were wrapped before.
    Rewrap,
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
