//! The command line: what can be typed, with help and examples. No logic.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER: &str = "\
Examples:
  custody run -- aider --message 'fix the flaky test' src/lib.rs
  custody session list
  custody session show 0197f0a2
  custody investigate src/lib.rs:42
  custody verify 0197f0a2

Exit codes:
  0   done                                 69  a record is incomplete
  2   the command line is wrong            70  the machine lacks something
  64  a policy refused it                  71  the record can't be written
  65  an approval is needed                72  not possible in this state
  66  not found                            73  a limit was reached
  67  not valid                            74  reading or writing failed
  68  a record fails verification          75  an error of Custody itself
  76  no valid token                       77  the caller's roles do not allow it
  78  the server can't be reached
`custody run` exits with the command's own code, or 128 and the signal's number.";

/// A managed runtime for AI coding agents whose product is the record.
#[derive(Debug, Parser)]
#[command(name = "custody", version, about, long_about = None, after_help = AFTER, propagate_version = true)]
pub struct Cli {
    /// Where keys, mirrors, sessions and the installation log are kept; without it what the configuration says, which
    /// is /var/lib/custody by default.
    #[arg(long, global = true, value_name = "DIR", env = "CUSTODY_STATE")]
    pub state: Option<PathBuf>,
    /// The configuration; without it /etc/custody/custody.yaml, if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "CUSTODY_CONFIG")]
    pub config: Option<PathBuf>,
    /// How the result is printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document, or one JSON line for each event.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a sandbox on this repository, mediated and recorded.
    Run(RunArgs),
    /// Look at sessions and take their results over.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Check a record offline: its integrity and its completeness.
    Verify(VerifyArgs),
    /// Ask which session wrote a commit or a line, and all that led to it.
    Investigate(InvestigateArgs),
    /// Check and explain policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Register repositories.
    #[command(subcommand)]
    Repo(RepoCommand),
    /// Check, show and describe the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what this machine offers, and what that means.
    Doctor,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// One session's keeper. Started by `run`, never by hand.
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Tools for Custody's own tests.
    #[command(hide = true, subcommand)]
    Debug(DebugCommand),
}

/// `custody run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody run -- codex exec 'add a test for the parser'
  custody run --dirty --strict -- ./agent.sh
  custody run --policy team.yaml -- make test

Inside a git checkout nothing else is needed: the repository is registered, HEAD is
the base, and the built-in policy applies. The session's changes come back as a branch
`custody/<id>`, which this merges into the branch that is checked out:
  custody session apply <id>")]
pub struct RunArgs {
    /// Start from a snapshot of the working tree, uncommitted changes included.
    #[arg(long)]
    pub dirty: bool,
    /// Mediate every access to the workspace synchronously, before it happens.
    #[arg(long)]
    pub strict: bool,
    /// The policy document; the built-in local policy without it.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Start from this commit instead of HEAD.
    #[arg(long, value_name = "REV", conflicts_with = "dirty")]
    pub base: Option<String>,
    /// A checkout or a registered repository; this directory without it.
    #[arg(long, value_name = "DIR|NAME")]
    pub repo: Option<String>,
    /// What the sandbox's root is: `host`, or an unpacked image.
    #[arg(long, default_value = "host")]
    pub image: String,
    /// Let this variable of your environment in, if the policy allows it. May be given several times.
    #[arg(long = "env", value_name = "NAME")]
    pub environment: Vec<String>,
    /// Processor limit, in cores (1.5).
    #[arg(long, value_name = "CORES")]
    pub cpus: Option<f64>,
    /// Memory limit, as in 2GiB.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Limit of processes and threads.
    #[arg(long, value_name = "N")]
    pub processes: Option<u32>,
    /// Limit of wall time, as in 30m.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Give the command no terminal, even if there is one.
    #[arg(long)]
    pub no_terminal: bool,
    /// Print nothing but the command's own output.
    #[arg(short, long)]
    pub quiet: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `custody session …`.
#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List sessions, the newest first.
    List,
    /// One session in a page: who, why, what was read, written, run and refused.
    Show(SessionArg),
    /// The events of its record.
    Events {
        #[command(flatten)]
        session: SessionArg,
        /// Only events of these types, as in `file.denied`, or of these families, as in `file`.
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
        types: Vec<String>,
        /// Only events that name this path or lie below it.
        #[arg(long)]
        path: Option<String>,
        /// Start at this sequence number.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Stop after so many events.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// The files that it read and wrote.
    Files(SessionArg),
    /// What it changed, as a unified diff.
    Diff(SessionArg),
    /// Play its terminal recording.
    Play {
        #[command(flatten)]
        session: SessionArg,
        /// So many times as fast.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
        /// Cut pauses to at most so many seconds.
        #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
        idle: f64,
        /// Print the asciicast file itself.
        #[arg(long)]
        cast: bool,
    },
    /// Fetch its branch into this checkout and merge it (fast-forward or a merge commit).
    Apply {
        #[command(flatten)]
        session: SessionArg,
        /// Only fetch the branch `custody/<id>`.
        #[arg(long)]
        fetch_only: bool,
    },
    /// End a running session.
    Stop {
        #[command(flatten)]
        session: SessionArg,
        /// Why, for the record.
        #[arg(long, default_value = "stopped by hand")]
        reason: String,
    },
}

/// A session by its id.
#[derive(Debug, Args)]
pub struct SessionArg {
    /// Its id, or the beginning of it; `last` is the newest.
    #[arg(value_name = "SESSION")]
    pub session: String,
}

/// `custody verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody verify last
  custody verify /evidence/record --key 'custody.example+1a2b3c4d+AQ…'

Two verdicts: integrity (is what is there unaltered?) and completeness (is everything there?).
Exit code 0 if both hold, 68 if integrity is broken, 69 if the record is incomplete.")]
pub struct VerifyArgs {
    /// A session's id, the beginning of it, `last`, or the directory of a record.
    #[arg(value_name = "SESSION|DIR")]
    pub target: String,
    /// The verifier key that you trust (C2SP signed-note), instead of the installation's own.
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
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
    /// The checkout or mirror whose history is meant; this directory without it.
    #[arg(long, value_name = "DIR|NAME")]
    pub repo: Option<String>,
}

/// `custody policy …`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Check a document: prints its name and version, or each error with line, field and reason.
    Check {
        /// The document.
        file: PathBuf,
    },
    /// Say what a policy decides, and by which rule.
    #[command(after_help = "\
Examples:
  custody policy explain team.yaml --as alice --action session.request
  custody policy explain team.yaml --as alice --action file.read --argument secrets/key.pem")]
    Explain {
        /// The document; `local` is the built-in one.
        file: String,
        /// The user who acts.
        #[arg(long = "as", value_name = "USER")]
        user: String,
        /// The action, as in `file.read`.
        #[arg(long)]
        action: String,
        /// What it acts on: a path, a command, an image, a variable, a host.
        #[arg(long)]
        argument: Option<String>,
    },
    /// Print the JSON Schema of policy documents.
    Schema,
}

/// `custody repo …`.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// Register a repository: its history is mirrored into the state directory.
    Add {
        /// A checkout, a bare repository or a URL.
        source: String,
        /// Its name here; made from the source without it.
        #[arg(long)]
        name: Option<String>,
    },
    /// List the registered repositories.
    List,
}

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
