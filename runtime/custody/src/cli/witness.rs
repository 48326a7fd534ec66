//! `custody witness`: for an organisation that watches an installation's logs.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `custody witness …`.
#[derive(Debug, Subcommand)]
pub enum WitnessCommand {
    /// Make a witness's key, and print the public half.
    Keygen(KeygenArgs),
    /// Cosign the heads of logs that only grow (C2SP tlog-witness).
    Serve(WitnessArgs),
}

/// `custody witness keygen`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody witness keygen witness.example.org/north --file north.key

The file holds the secret (C2SP signed-note, mode 0600) and is never overwritten. What is printed goes into the trust policy of
whoever wants the witness's word: witness north <what was printed> https://witness.example.org")]
pub struct KeygenArgs {
    /// The witness's name: an address of yours without a scheme, that nobody else uses.
    pub name: String,
    /// Where the secret goes.
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
}

/// `custody witness serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody witness serve --key north.key --memory /var/lib/witness --installation 'custody/0123456789abcdef+1a2b3c4d+AQ…'
  custody witness serve --key north.key --memory /var/lib/witness --log 'example.com/log+1a2b3c4d+AQ…' --listen 0.0.0.0:7080

Run it elsewhere than the logs that it witnesses, by other people. It needs no database and no root, and remembers one head for
each log: durably, before it cosigns. Never give it the memory of a backup: it would have forgotten what it cosigned since. It
speaks plain HTTP; what it says is signed and no secret.
A log that does not go on from the head before is refused, and the refused head is kept in the memory as proof.")]
pub struct WitnessArgs {
    /// The witness's secret, of `custody witness keygen`.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The directory of what it remembers.
    #[arg(long, value_name = "DIR")]
    pub memory: PathBuf,
    /// The verifier key of an installation (`keys/installation.vkey` in its state directory): its installation log and its
    /// control log are witnessed.
    #[arg(long, value_name = "VKEY", required_unless_present = "log")]
    pub installation: Vec<String>,
    /// The verifier key of any other log, whose origin is the key's name.
    #[arg(long, value_name = "VKEY")]
    pub log: Vec<String>,
    /// Address and port; port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,
    /// Write the URL here once the witness listens.
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
}
