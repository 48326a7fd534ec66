//! The commands, one per file.

pub mod config;
pub mod debug;
pub mod doctor;
pub mod investigate;
pub mod keeper;
pub mod policy;
pub mod repo;
pub mod run;
pub mod session;
pub mod verify;

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
