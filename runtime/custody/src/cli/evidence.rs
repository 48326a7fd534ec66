//! `custody evidence`.

use std::path::PathBuf;

use clap::Subcommand;
use custody_record::Sequences;

use super::session::SessionArg;

/// `custody evidence …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody evidence export last
  custody evidence export 0197f0a2 --event 17 --event 20-29 --file for-the-insurer.tar
  custody evidence export 0197f0a2 --withhold-content
  custody verify for-the-insurer.tar --key 'custody/1f0c…+2b7e1516+AQ…'

One file with the attestation, the disclosed events, their proofs, the installation's keys, the policy and the contents.
`custody-verify` (or `custody verify`) checks it offline. What is withheld is listed in it with its digest, and changes no
verdict. Who may: auditors. That it was handed out, with its digest, is an event of the control log.")]
pub enum EvidenceCommand {
    /// Put what is disclosed of a session's record into one file.
    Export {
        #[command(flatten)]
        session: SessionArg,
        /// The file, or - for standard output; `<id>-evidence.tar` without it.
        #[arg(long, value_name = "FILE|-")]
        file: Option<PathBuf>,
        /// Disclose these events alone, by number or range (may be given again), and those that the attestation repeats.
        #[arg(long = "event", value_name = "SEQ|FROM-TO")]
        events: Vec<Sequences>,
        /// Withhold every content: terminal, diff and files are named by digest and size alone.
        #[arg(long)]
        withhold_content: bool,
    },
}
