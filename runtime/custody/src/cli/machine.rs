//! What is about the machine: configuration, keepers, tests.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `custody config …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody config check deploy/custody.yaml
  custody config show --config deploy/custody.yaml
  CUSTODY_SERVER__LISTEN=127.0.0.1:8080 custody config show -o json
  custody config schema > custody.schema.json

A variable CUSTODY_<SECTION>__<FIELD> wins over the file: its value is what would stand
there behind the field's name. --state and CUSTODY_STATE win over state.directory.")]
pub enum ConfigCommand {
    /// Check a file and the environment: prints each error with line, field and reason.
    Check {
        /// The file; without it the one that a server would read.
        file: Option<PathBuf>,
        /// Also fetch every secret that it refers to.
        #[arg(long)]
        secrets: bool,
    },
    /// Print the values in effect, and whether each is a default or comes from the file or the environment. Secrets
    /// are never printed.
    Show,
    /// Print the JSON Schema of the file.
    Schema,
}

/// `custody keeper`.
#[derive(Debug, Args)]
pub struct KeeperArgs {
    /// The session.
    #[arg(long)]
    pub session: String,
}

/// `custody debug …`.
#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Mount a session's workspace as the sandbox would see it, and run a command on it as root, outside of any sandbox.
    Workspace {
        /// A registered repository or a checkout.
        #[arg(long)]
        repo: String,
        /// With the guard at the root.
        #[arg(long)]
        strict: bool,
        /// The command; `{}` is replaced by the mount point.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}
