//! Locks (flock) of the state directory: one server at a time, and nobody else while the index is made anew.

use std::fs::File;
use std::fs::TryLockError;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use custody_keeper::layout::StateDir;
use custody_model::ErrorCode;

use crate::failure::{Explain, Failure};

fn open(path: &Path) -> Result<File, Failure> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path);
    file.explain(ErrorCode::Io, format!("{} can't be opened", path.display())).map_err(|failure| {
        failure.hint("be the user whose state directory it is, or name another one with --state")
    })
}

fn taken(result: Result<(), TryLockError>, message: &str, hint: &str) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(ErrorCode::Conflict, message).hint(hint)),
        Err(TryLockError::Error(error)) => {
            Err(Failure::of(ErrorCode::Io, "the state directory can't be locked", error))
        }
    }
}

/// Held by the one server of a state directory, and by whoever keeps servers away.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

impl ServeLock {
    /// Takes it, or says that somebody has it.
    pub fn take(state: &StateDir) -> Result<Self, Failure> {
        let path: PathBuf = state.path().join("custody.serve.lock");
        let file = open(&path)?;
        let message = format!("a server runs on {} already", state.path().display());
        taken(file.try_lock(), &message, "stop it first, or use another --state")?;
        Ok(Self { _file: file })
    }
}

/// Held by everybody who uses the index, together; and alone by whoever makes it anew.
#[derive(Debug)]
pub struct IndexLock {
    _file: File,
}

impl IndexLock {
    fn file(state: &StateDir) -> Result<File, Failure> {
        open(&state.path().join("custody.index.lock"))
    }

    /// To use the index.
    pub fn shared(state: &StateDir) -> Result<Self, Failure> {
        let file = Self::file(state)?;
        let hint = "wait until `custody reindex` is done";
        taken(file.try_lock_shared(), "the index is just being made anew", hint)?;
        Ok(Self { _file: file })
    }

    /// To make it anew.
    pub fn alone(state: &StateDir) -> Result<Self, Failure> {
        let file = Self::file(state)?;
        let hint = "stop the server, and wait for commands such as `custody run`";
        taken(file.try_lock(), "others use the index now", hint)?;
        Ok(Self { _file: file })
    }
}
