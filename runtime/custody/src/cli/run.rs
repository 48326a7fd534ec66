//! `custody run` and `custody attach`.

use std::path::PathBuf;

use clap::Args;
use custody_model::ProjectName;

/// `custody run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody run -- codex exec 'add a test for the parser'
  custody run --dirty --strict -- ./agent.sh
  custody run --policy team.yaml -- make test
  custody run --project payments --detach -- ./agent.sh

Inside a git checkout on your own machine nothing else is needed: the repository is registered, HEAD is the base, and
the built-in policy applies unless the project has one. On a server the repository has to be registered and HEAD to be
pushed, and the project's policy applies. The session's changes come back as a branch `custody/<id>`, which this merges
into the branch that is checked out:
  custody session apply <id>

Ctrl-C goes to the command; a second one ends the session (at a terminal: within a second, with nothing typed between).
While the session waits, for an approval or in line, Ctrl-C takes the request back. A session whose output nobody reads
any more, as after `| head`, is stopped, and the exit code is 141. Where the command's program is not found the exit code is
127, where it can't be run 126.")]
pub struct RunArgs {
    /// Start from a snapshot of the working tree, uncommitted changes included.
    #[arg(long)]
    pub dirty: bool,
    /// Mediate every access to the workspace synchronously, before it happens.
    #[arg(long)]
    pub strict: bool,
    /// In which project.
    #[arg(long, default_value_t = ProjectName::default_project())]
    pub project: ProjectName,
    /// Print the session's id and return at once. `custody attach` or `custody session watch` shows it later.
    #[arg(short, long)]
    pub detach: bool,
    /// Your name for the request: again with the same name it is the same session. Made up without it.
    #[arg(long, value_name = "NAME")]
    pub idempotency_key: Option<String>,
    /// The policy document, for admins; without it the project's active one, or on your own machine the built-in one.
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

/// `custody attach`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody attach last

It shows the last 64 KiB of the output and what follows. If this process is ended, the session goes on.")]
pub struct AttachArgs {
    /// Its id, or the beginning of it; `last` is the newest.
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// Send nothing: neither input nor signals.
    #[arg(long)]
    pub read_only: bool,
}
