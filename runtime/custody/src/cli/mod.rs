//! The command line: what can be typed, with help and examples. No logic.

mod evidence;
mod export;
mod machine;
mod people;
mod policy;
mod project;
mod record;
mod retention;
mod run;
mod server;
mod session;
mod witness;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use evidence::EvidenceCommand;
pub use export::ExportArgs;
pub use machine::{ConfigCommand, DebugCommand, KeeperArgs};
pub use people::{ContextCommand, LoginArgs, LogoutArgs, TokenCommand, UserCommand, grants};
pub use policy::{InProject, PolicyCommand};
pub use project::{ImageCommand, ProjectCommand, RepoCommand};
pub use record::{EraseArgs, InvestigateArgs, KeysCommand, ProofArgs, VaultCommand, VerifyArgs};
pub use retention::{HoldArgs, ReleaseArgs, RetentionCommand, RetentionListArgs, SweepArgs};
pub use run::{AttachArgs, RunArgs};
pub use server::{ControlCommand, FaultAt, FsckArgs, ReindexArgs, ServeArgs};
pub use session::{ListArgs, SessionArg, SessionCommand, Signal};
pub use witness::{KeygenArgs, WitnessArgs, WitnessCommand};

const AFTER: &str = "\
Examples:
  custody run -- aider --message 'fix the flaky test' src/lib.rs
  custody session list
  custody session show 0197f0a2
  custody investigate src/lib.rs:42
  custody verify 0197f0a2

Which server: --url or CUSTODY_URL (with CUSTODY_TOKEN, or the token of a login there); else, if no state directory is
named, the current context of `custody login`; else the server that listens in the state directory; else this command
is the server itself for as long as it runs, on the same state.

Exit codes:
  0   done                                 70  the machine lacks something
  2   the command line is wrong            71  the record can't be written
  64  a policy refused it                  72  not possible in this state
  65  an approval is needed                73  a limit was reached
  66  not found                            74  reading or writing failed
  67  not valid                            75  an error of Custody itself
  68  a record fails verification          76  no valid token
  69  a record is incomplete               77  the caller's roles do not allow it
  79  the quorum of witnesses is not met   78  the server can't be reached
  80  nobody vouched for the key
`custody run` and `custody attach` exit with the command's own code, or 128 and the signal's number, and with 73 where a limit
stopped the session (`session show` names it). `custody run` exits
with 127 where the command's program is not found, 126 where it can't be run, 141 where nobody reads the output any more.";

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
    /// The server: http://…, https://… or unix:/PATH.
    #[arg(long, global = true, value_name = "URL", env = "CUSTODY_URL")]
    pub url: Option<String>,
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
    /// See the output of a session that runs, and type into it.
    Attach(AttachArgs),
    /// Look at sessions, decide about them, and take their results over.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Check a record: its integrity and its completeness.
    Verify(VerifyArgs),
    /// Erase the content of a session that is over: its key is destroyed, its record still verifies.
    Erase(EraseArgs),
    /// Hold a session: nothing erases its content, whatever its retention class says.
    Hold(HoldArgs),
    /// Release a session that is held: its retention class counts again.
    Release(ReleaseArgs),
    /// Say whose content will be erased when.
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Erase the content of sessions whose retention class has ended, as a server does by itself.
    Sweep(SweepArgs),
    /// Give a record out in the formats of others: OCSF, CloudEvents, OpenTelemetry, asciicast, Agent Trace, git-ai.
    Export(ExportArgs),
    /// Prove that an event is on record, and that a log only grew, to somebody who trusts no one here.
    Proof(ProofArgs),
    /// Watch the logs of an installation for somebody else: cosign heads that go on from those before.
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Hand out evidence of a session as one file that others can check.
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Ask which session wrote a commit or a line, and all that led to it.
    Investigate(InvestigateArgs),
    /// Keep, check, compare and explain policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Make and list projects.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Register repositories.
    #[command(subcommand)]
    Repo(RepoCommand),
    /// List what sessions can run in.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Let the API be served.
    Serve(ServeArgs),
    /// Log in to a server, and make it the current one.
    Login(LoginArgs),
    /// Forget a server and its token.
    Logout(LogoutArgs),
    /// Choose among the servers that this user has logged in to.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Make, list and revoke tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make users, and say what they may do.
    #[command(subcommand)]
    User(UserCommand),
    /// Read and verify the control log: who asked the server for what, and with what result.
    #[command(subcommand)]
    Control(ControlCommand),
    /// Replace the key that the installation signs its records with, and list those before it.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// See what wraps the keys that contents are sealed with, and wrap them anew.
    #[command(subcommand)]
    Vault(VaultCommand),
    /// Check every log, record and content and the index, and move aside what is damaged, while no server runs.
    Fsck(FsckArgs),
    /// Make the index anew from the logs, while no server runs.
    Reindex(ReindexArgs),
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
    /// One session's keeper. Started by servers, never by hand.
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Tools for Custody's own tests.
    #[command(hide = true, subcommand)]
    Debug(DebugCommand),
}

#[cfg(test)]
mod tests {
    use custody_model::error::{EXIT_KEY_UNVOUCHED, EXIT_OK, ErrorCode};

    #[test]
    fn no_command_has_two_arguments_of_one_name() {
        <super::Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_help_lists_every_exit_code_once() {
        let table = super::AFTER.split("Exit codes:").nth(1).unwrap();
        let table = table.split("`custody run`").next().unwrap();
        let codes = ErrorCode::ALL.map(ErrorCode::exit_code);
        for code in codes.into_iter().chain([EXIT_OK, EXIT_KEY_UNVOUCHED]) {
            let number = format!(" {code} ");
            assert_eq!(table.matches(&number).count(), 1, "{number}");
        }
    }
}
