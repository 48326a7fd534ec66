//! `custody session`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use custody_api_types::Moment;
use custody_api_types::session::StateName;
use custody_model::{ProjectName, UserName};

/// `custody session …`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  custody session list --in running,queued
  custody session show last
  custody session watch 0197f0a2
  custody session approve 0197f0a2 --comment 'as agreed'
  custody session export 0197f0a2 --file evidence.tar")]
pub enum SessionCommand {
    /// List sessions, the newest first.
    List(ListArgs),
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
    /// Follow it live: a line for each event, and its state, until its record is sealed.
    Watch {
        #[command(flatten)]
        session: SessionArg,
        /// Start at this sequence number.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Approve a session that waits for it. Nobody approves their own.
    Approve {
        #[command(flatten)]
        session: SessionArg,
        /// What you say to it, for the record.
        #[arg(long, default_value = "")]
        comment: String,
    },
    /// Reject a session that waits for an approval.
    Reject {
        #[command(flatten)]
        session: SessionArg,
        /// Why, for the requester and the record.
        #[arg(long)]
        reason: String,
    },
    /// End a session: one that runs is asked to stop, one that waits is taken back.
    Stop {
        #[command(flatten)]
        session: SessionArg,
        /// Why, for the record.
        #[arg(long, default_value = "stopped by hand")]
        reason: String,
    },
    /// Send a signal to its command.
    Signal {
        #[command(flatten)]
        session: SessionArg,
        /// Its name or its Linux number, as in INT or 2.
        signal: Signal,
    },
    /// What it gave back: the branch and its commits.
    Outputs(SessionArg),
    /// Save its whole record as a tar archive, which `custody verify` checks after it is unpacked.
    Export {
        #[command(flatten)]
        session: SessionArg,
        /// The file, or - for standard output; `<id>.tar` without it.
        #[arg(long, value_name = "FILE|-")]
        file: Option<PathBuf>,
    },
}

/// Which sessions are listed; what is absent excludes nothing.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Of this project.
    #[arg(long)]
    pub project: Option<ProjectName>,
    /// Of this user.
    #[arg(long)]
    pub requester: Option<UserName>,
    /// On this repository, by its name.
    #[arg(long)]
    pub repo: Option<String>,
    /// In one of these states.
    #[arg(long = "in", value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub states: Vec<StateName>,
    /// Asked for at or after this moment, as in 2026-11-23T19:12:00Z.
    #[arg(long)]
    pub since: Option<Moment>,
    /// Asked for before this moment.
    #[arg(long)]
    pub until: Option<Moment>,
    /// At most so many; all without it.
    #[arg(long)]
    pub limit: Option<usize>,
}

fn state(text: &str) -> Result<StateName, String> {
    let value = serde_json::Value::from(text.replace('-', "_"));
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// A signal by its Linux number.
#[derive(Clone, Copy, Debug)]
pub struct Signal(pub i32);

impl std::str::FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use nix::sys::signal::Signal as Known;
        if let Ok(number) = text.parse::<i32>() {
            let known = Known::try_from(number).map_err(|_| format!("{number} is no signal"))?;
            return Ok(Self(known as i32));
        }
        let upper = text.to_ascii_uppercase();
        let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        let known: Known = name.parse().map_err(|_| format!("{text} is no signal"))?;
        Ok(Self(known as i32))
    }
}

/// A session by its id.
#[derive(Debug, Args)]
pub struct SessionArg {
    /// Its id, or the beginning of it; `last` is the newest.
    #[arg(value_name = "SESSION")]
    pub session: String,
}
