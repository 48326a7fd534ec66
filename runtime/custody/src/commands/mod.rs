//! The commands, one per file.

pub mod attach;
pub mod config;
pub mod context;
pub mod control;
pub mod debug;
pub mod doctor;
pub mod erase;
pub mod evidence;
pub mod export;
pub mod fsck;
pub mod image;
pub mod investigate;
pub mod keeper;
pub mod keys;
pub mod login;
pub mod policy;
pub mod project;
pub mod proof;
pub mod reindex;
pub mod repo;
pub mod retention;
pub mod run;
pub mod serve;
pub mod session;
pub mod token;
pub mod user;
pub mod verify;
pub mod witness;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::Cli;
use crate::failure::Failure;

/// `custody completions`.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "custody", &mut script);
    crate::output::raw(&script)?;
    Ok(ExitCode::SUCCESS)
}
