//! `custody hold`, `custody release`, `custody retention` and `custody sweep`.

use clap::{Args, Subcommand};
use custody_model::ProjectName;

/// `custody hold`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody hold 0197f0a2 --reason 'claim 2026-114, asked for by counsel'

Nothing erases the content of a session that is held: not its retention class, not an admin. Who holds it, since when
and why is on record, and `custody session show` tells it. All sessions of a project are held by `hold:` in its policy.")]
pub struct HoldArgs {
    /// A session's id, the beginning of it, or `last`.
    pub session: String,
    /// Why, for the record.
    #[arg(long)]
    pub reason: String,
}

/// `custody release`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody release 0197f0a2 --reason 'claim 2026-114 is settled'

Its retention class counts again: if that has ended meanwhile, the next pass of the sweeper erases its content.")]
pub struct ReleaseArgs {
    /// A session's id, the beginning of it, or `last`.
    pub session: String,
    /// Why, for the record.
    #[arg(long)]
    pub reason: String,
}

/// `custody retention …`.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// List whose content will be erased when, the soonest first.
    #[command(after_help = "\
Examples:
  custody retention list
  custody retention list --due
  custody retention list --held -o json")]
    List(RetentionListArgs),
}

/// `custody retention list`.
#[derive(Debug, Args)]
pub struct RetentionListArgs {
    /// Only of this project.
    #[arg(long)]
    pub project: Option<ProjectName>,
    /// Only what the next pass of the sweeper erases: its class has ended, and nothing holds it.
    #[arg(long)]
    pub due: bool,
    /// Only what `custody hold` holds, of every class and state.
    #[arg(long, conflicts_with_all = ["project", "due"])]
    pub held: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// `custody sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  custody sweep --dry-run
  custody sweep

Erases the content of sessions whose retention class has ended and that nothing holds, as a server does by itself
(`retention.sweep`). One pass erases at most `retention.sweep_batch` of them.")]
pub struct SweepArgs {
    /// Only say what would be erased.
    #[arg(long)]
    pub dry_run: bool,
    /// The clock is right, although the installation knows of no time near what it says.
    #[arg(long)]
    pub clock_is_right: bool,
}
