//! The one binary: dispatch, and nothing else.

#![expect(unreachable_pub, reason = "a binary exports nothing; `pub` tells what other modules use")]

mod caller;
mod cli;
mod commands;
mod config;
mod connect;
mod console;
mod failure;
mod logging;
mod output;
mod render;
mod server;
mod watch;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    // Process 1 of a sandbox comes out of this: nothing else may have happened in the process before.
    if let Some(code) = wire::launcher(std::env::args_os()) {
        return code;
    }
    let cli = Cli::parse();
    // The server says what its configuration wants.
    if !matches!(cli.command, Command::Serve(_)) {
        logging::init(&config::Log::default());
    }
    let format = cli.output;
    dispatch(cli).unwrap_or_else(|failure| {
        output::failure(format, &failure);
        ExitCode::from(failure.code.exit_code())
    })
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let wire = wire::Wire::new(&cli)?;
    match cli.command {
        Command::Run(args) => commands::run::run(&wire, args),
        Command::Attach(args) => commands::attach::run(&wire, &args),
        Command::Session(command) => commands::session::run(&wire, command),
        Command::Verify(args) => commands::verify::run(&wire, &args),
        Command::Erase(args) => commands::erase::run(&wire, &args),
        Command::Hold(args) => commands::retention::hold(&wire, &args),
        Command::Release(args) => commands::retention::release(&wire, &args),
        Command::Retention(command) => commands::retention::run(&wire, command),
        Command::Sweep(args) => commands::retention::sweep(&wire, &args),
        Command::Export(args) => commands::export::run(&wire, &args),
        Command::Proof(args) => commands::proof::run(&wire, &args),
        Command::Witness(command) => commands::witness::run(&wire, &command),
        Command::Evidence(command) => commands::evidence::run(&wire, command),
        Command::Investigate(args) => commands::investigate::run(&wire, &args),
        Command::Policy(command) => commands::policy::run(&wire, command),
        Command::Project(command) => commands::project::run(&wire, command),
        Command::Repo(command) => commands::repo::run(&wire, command),
        Command::Image(command) => commands::image::run(&wire, command),
        Command::Serve(args) => commands::serve::run(&wire, args),
        Command::Login(args) => commands::login::run(&wire, &args),
        Command::Logout(args) => commands::context::logout(&wire, &args),
        Command::Context(command) => commands::context::run(&wire, command),
        Command::Token(command) => commands::token::run(&wire, command),
        Command::User(command) => commands::user::run(&wire, command),
        Command::Control(command) => commands::control::run(&wire, command),
        Command::Keys(command) => commands::keys::run(&wire, command),
        Command::Fsck(args) => commands::fsck::run(&wire, &args),
        Command::Reindex(args) => commands::reindex::run(&wire, &args),
        Command::Config(command) => commands::config::run(&wire, command),
        Command::Doctor => commands::doctor::run(&wire),
        Command::Completions { shell } => commands::completions(shell),
        Command::Keeper(args) => commands::keeper::run(&wire, &args),
        Command::Debug(command) => commands::debug::run(&wire, command),
    }
}
