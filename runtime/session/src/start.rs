//! Start: a keeper of its own for a session that was created.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use custody_keeper::layout::StateDir;
use custody_keeper::run::READY;
use custody_model::SessionId;

/// How keepers are started: the program and what comes before `--session ID`.
#[derive(Clone, Debug)]
pub struct KeeperProgram {
    /// The executable.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<String>,
    /// Variables of its environment besides this process's own.
    pub environment: Vec<(String, String)>,
}

/// Why a keeper did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program could not be executed, or its log not be opened.
    #[error("the keeper of session {session} could not be started")]
    Spawn {
        /// The session.
        session: SessionId,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended before anybody could attach.
    #[error("the keeper of session {session} ended before it was ready: {said}")]
    Ended {
        /// The session.
        session: SessionId,
        /// The end of its log.
        said: String,
    },
}

/// Starts the keeper of `session` and waits until clients can attach. It is in a session of its own (setsid), so that
/// neither the terminal nor the death of this process ends it.
///
/// # Errors
/// [`StartError`].
pub fn start(
    state: &StateDir,
    session: SessionId,
    keeper: &KeeperProgram,
) -> Result<Child, StartError> {
    let dir = state.session(session);
    let spawn = |source| StartError::Spawn { session, source };
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(dir.log()).map_err(spawn)?;
    let mut command = Command::new(&keeper.program);
    command
        .args(&keeper.arguments)
        .envs(keeper.environment.iter().map(|(name, value)| (name, value)))
        .arg("--session")
        .arg(session.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    // SAFETY: setsid is async-signal-safe, touches no memory, and fails only for a group leader, which a new child is not.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into));
    }
    let mut child = command.spawn().map_err(spawn)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(spawn)?;
    }
    if line.trim_end() == READY {
        return Ok(child);
    }
    let _status = child.wait().map_err(spawn)?;
    let said = std::fs::read_to_string(dir.log()).unwrap_or_default();
    let mut tail: Vec<&str> = said.lines().rev().take(5).collect();
    tail.reverse();
    Err(StartError::Ended { session, said: tail.join(" · ") })
}
