//! `custody serve`, `control` and `reindex`: the server, its log and its index.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

/// `custody serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody serve
  custody serve --listen 127.0.0.1:8080
  custody serve --config /etc/custody/custody.yaml --admin-token-file /root/admin.token

The first start makes the user `admin` and prints a token for it, once. SIGTERM and SIGINT let the server finish what it
is doing; a second one ends it at once. Sessions outlive it in any case, and the next start looks after them again.")]
pub struct ServeArgs {
    /// Address and port, instead of what the configuration says; port 0 lets the system choose.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Write the URL here once the server listens.
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
    /// Write the first admin's token here (mode 0600) instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Kill this process at a step of the orchestrator, as in `create.record:after`.
    #[arg(long = "fault", value_name = "STEP:before|after", hide = true)]
    pub faults: Vec<FaultAt>,
}

/// A moment of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultAt {
    /// As `verb.step`.
    pub step: String,
    /// After the step; before it otherwise.
    pub after: bool,
}

impl FromStr for FaultAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once(':') {
            Some((step, "before")) => Ok(Self { step: step.to_owned(), after: false }),
            Some((step, "after")) => Ok(Self { step: step.to_owned(), after: true }),
            Some(_) | None => Err("STEP:before or STEP:after is wanted".to_owned()),
        }
    }
}

/// `custody control …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody control events --from 100
  custody control events -o json | grep policy.activated
  custody control verify")]
pub enum ControlCommand {
    /// The events of the control log.
    Events {
        /// Start at this one.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Stop after so many.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Check the control log. Exit code 0 if it holds, 68 if not.
    Verify,
}

/// `custody reindex`.
#[derive(Debug, Args)]
pub struct ReindexArgs {
    /// Print nothing but the result.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `custody fsck`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody fsck --dry-run
  custody fsck -o json

It checks the control log and its documents, the installation log, every session's record with its contents, and compares
the index with one that is made anew. A damaged file is moved to quarantine/ below the state directory, with its path and its
bytes, and each move is an event of the control log; nothing is deleted, and nothing is made up in its place. The control log
and the installation log themselves stay where they are: bring them back from a copy.

Exit codes: 0 nothing is damaged, 68 something is, 72 others use the index.")]
pub struct FsckArgs {
    /// Only say what is damaged.
    #[arg(long)]
    pub dry_run: bool,
    /// Print nothing but the result.
    #[arg(short, long)]
    pub quiet: bool,
}
