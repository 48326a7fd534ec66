//! What can be typed.

use std::path::PathBuf;

use clap::Parser;

/// Checks a record or an evidence pack of Custody offline, and explains its verdict.
#[derive(Debug, Parser)]
#[command(
    name = "custody-verify",
    version,
    about,
    after_help = "\
Examples:
  custody-verify evidence.tar --key 'custody/1f0c…+2b7e1516+AQ…'
  custody-verify record/ --key \"$(cat installation.vkey)\" --installation-log log/
  custody-verify evidence.tar --key 'custody/1f0c…+2b7e1516+AQ…' --policy witnesses.policy
  custody-verify evidence.tar --json

Two verdicts that do not mix: integrity (is what is shown what was recorded?) and completeness (was everything recorded
that happened?). What is withheld from a pack is listed and changes neither.

Without --key the key is taken from what is checked: that shows that it is consistent, not whose it is.

--policy says whose cosignatures of the installation log's head count, and how many make a quorum. It has to come from
somebody whom you trust, as the key has to: a pack brings none. Without it cosigners' names are shown and not checked.

Exit codes:
  0   intact and complete              69  intact, but the record is incomplete or open
  2   the command line is wrong        74  it can't be read
  68  integrity is broken: it is not what was recorded, or a cosignature is forged
  79  intact and complete, but the quorum of --policy is not met
  80  intact and complete, by a key that nobody vouched for: there was no --key"
)]
pub(crate) struct Arguments {
    /// An evidence pack (a file) or a record (a directory).
    #[arg(value_name = "FILE|DIR")]
    pub(crate) path: PathBuf,
    /// The verifier key that you trust (C2SP signed-note), from somebody whom you trust.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<String>,
    /// The history of keys in which that key stands, for a record's directory; a pack brings its own.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) key_history: Option<PathBuf>,
    /// A copy of the installation log to compare a record's directory with.
    #[arg(long, value_name = "DIR")]
    pub(crate) installation_log: Option<PathBuf>,
    /// The witnesses whose cosignatures you want, as a trust policy (C2SP tlog-policy). For a record's directory it needs
    /// --installation-log, whose heads they cosign.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Refuse contents that are larger than this when they are decompressed, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = custody_record::verify::DEFAULT_BLOB_LIMIT)]
    pub(crate) blob_limit: u64,
    /// Print JSON instead of words.
    #[arg(long)]
    pub(crate) json: bool,
}
