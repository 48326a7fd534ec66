//! The turn from the installation's key to a new one.
//!
//! Both logs are held meanwhile, so that each of their heads is signed by the key that is in force at its size, whichever
//! process signs it. Their last heads are signed anew, because whoever has the new key alone has to be able to read them.

use std::io;
use std::path::Path;

use custody_model::Timestamp;

use super::history::{HistoryError, KeyHistory, Rotation};
use super::key::{KeyError, Keys};
use super::key_files;
use super::signed_log::ExtendError;
use super::term::Turn;
use crate::control::{ControlLog, ControlLogError};
use crate::installation::InstallationLog;

/// Why the key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The key files.
    #[error("the installation's keys can't be used")]
    Keys(#[from] KeyError),
    /// The new rotation does not fit the history.
    #[error("the history of keys can't go on")]
    History(#[from] HistoryError),
    /// The control log.
    #[error("the control log can't be signed up to its end")]
    Control(#[from] ControlLogError),
    /// The installation log.
    #[error("a log can't be held, or its head can't be signed")]
    Log(#[from] ExtendError),
    /// The directory of the keys.
    #[error("the directory of the keys can't be read")]
    Io(#[from] io::Error),
}

/// Puts a new key in force: from the logs' sizes as they are now, at `now` by the clock. Processes that have the logs
/// open follow by themselves.
///
/// # Errors
/// [`RotateError`]. The old key is in force then, or, if the history names it already, the new one.
pub fn rotate(
    dir: &Path,
    log: &InstallationLog,
    control: &ControlLog,
    now: Timestamp,
) -> Result<Rotation, RotateError> {
    let installation = log.signed();
    let held = installation.lock()?;
    control.held(|control, control_held| {
        let old = Keys::open(dir)?;
        let mut history = KeyHistory::read(dir)?;
        let new = key_files::fresh(Some(old.name()))?;
        let turn = Turn {
            log: installation.head()?.map_or(0, |head| head.size),
            control: control.head()?.map_or(0, |head| head.size),
            time: now,
        };
        let rotation = Rotation::sign(&old, &new, turn);
        history.follow(history.rotations().len(), rotation.clone())?;
        key_files::write_next(dir, &new)?;
        key_files::write_history(dir, &history)?;
        key_files::put_in_place(dir, &history)?;
        installation.sign_again(&held)?;
        control.sign_again(control_held)?;
        Ok(rotation)
    })
}
