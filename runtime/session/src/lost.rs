//! Lost: a session that a keeper may have run, and whose record is gone. It is never run again.
//!
//! "Not on my disk" is never "not begun". That no keeper began a session has to be shown: its directory is whole, with the
//! request and the policy, and without the mark that a keeper leaves there before it begins the record; and the installation
//! log has no head of it. Whatever can't be shown is lost, and says so in the control log.

use std::io;

use custody_control::{Author, ControlError, ControlPlane};
use custody_keeper::layout::{SessionDir, StateDir};
use custody_model::SessionId;
use custody_model::state::session::SessionState;
use custody_record::control::{ControlBody, SessionReason};
use custody_record::installation::InstallationLeaves;
use custody_record::tlog::Anchor;
use custody_record::{LogError, Verifier};
use custody_store::SessionRow;

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;
use crate::reconcile::{has_record, locked};

/// Whether a keeper started a session that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It lives, or left a record.
    Begun,
    /// No keeper started it; its directory and the installation log prove that.
    Never,
    /// A keeper may have started it, and there is no record; with the reason.
    Lost(String),
}

/// The advice for a missing record.
const ADVICE: &str = "it is not run again; if its directory is in a backup, put it back to have the record, and ask for a new \
                      session to have the work done";

/// Looks at what is on disk of a session that the control log knows as launched.
///
/// # Errors
/// If the keeper's lock or the installation log can't be looked at: nothing is known then.
pub(crate) fn beginning(state: &StateDir, session: SessionId) -> Result<Beginning, SessionError> {
    let dir = state.session(session);
    let doing = || SessionError::file("looking for a session's keeper");
    let begun = || Ok::<_, io::Error>(has_record(&dir) || locked(&dir)?);
    if begun().map_err(doing())? {
        return Ok(Beginning::Begun);
    }
    let reason = match missing(&dir) {
        Some(what) => Some(what.to_owned()),
        None => heads(state, session).map_err(io::Error::other).map_err(doing())?.map(only_logged),
    };
    Ok(match reason {
        None => Beginning::Never,
        // A keeper that began while this looked holds its lock now, or has a record.
        Some(_) if begun().map_err(doing())? => Beginning::Begun,
        // It may be on a disk that is gone: it waits for it, and nothing is lost yet.
        Some(_) if has_keeper(session).map_err(doing())? => Beginning::Begun,
        Some(_) if !dir.path().exists() && is_empty(state).map_err(doing())? => {
            return Err(doing()(io::Error::new(io::ErrorKind::NotFound, UNMOUNTED)));
        }
        Some(reason) => Beginning::Lost(record_gone(&reason)),
    })
}

/// The same of a session whose launch was put on record just now: nobody can have begun it before, so the installation log
/// has nothing of it.
///
/// # Errors
/// As [`beginning`].
pub(crate) fn first_beginning(
    state: &StateDir,
    session: SessionId,
) -> Result<Beginning, SessionError> {
    let dir = state.session(session);
    let doing = SessionError::file("looking for a session's keeper");
    let whole = missing(&dir).is_none() && !has_record(&dir) && !locked(&dir).map_err(doing)?;
    if whole { Ok(Beginning::Never) } else { beginning(state, session) }
}

/// The reason why no session is called lost if none has a directory.
const UNMOUNTED: &str =
    "no session has a directory: mount the disk that they are on, or put them back from a backup";

/// Whether no session has a directory: then it is more likely a disk that is missing than all their records.
fn is_empty(state: &StateDir) -> io::Result<bool> {
    match std::fs::read_dir(state.sessions()) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a process of this machine was started as the keeper of a session (proc(5), `cmdline`).
fn has_keeper(session: SessionId) -> io::Result<bool> {
    let wanted = session.to_string();
    for process in std::fs::read_dir("/proc")? {
        // One that ends meanwhile is none.
        let Ok(line) = std::fs::read(process?.path().join("cmdline")) else { continue };
        let mut words = line.split(|byte| *byte == 0);
        if words.any(|word| word == b"--session") && words.next() == Some(wanted.as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What keeps a directory without a record from showing that no keeper began the session; `None` if nothing does.
fn missing(dir: &SessionDir) -> Option<&'static str> {
    if !dir.path().exists() {
        Some("its directory is gone")
    } else if dir.begun().exists() || dir.workspace().exists() {
        Some("a keeper began it, and its record is gone")
    } else if !dir.spec().exists() || !dir.policy().exists() {
        Some("its record and its request are gone")
    } else {
        None
    }
}

/// The number of events in the newest head that the installation log has of a session.
fn heads(state: &StateDir, session: SessionId) -> Result<Option<u64>, LogError> {
    let log = state.log();
    // Nothing was ever begun here. A log that lost its head is refused by whoever opens it.
    let nothing = |name: &str| !log.join(name).exists();
    if nothing("checkpoint") && nothing("tile") && !Anchor::path(&log).exists() {
        return Ok(None);
    }
    let verifier = Verifier::of_installation(&state.keys())
        .map_err(|source| LogError::Io { path: state.keys(), source: io::Error::other(source) })?;
    let leaves = InstallationLeaves::read(&log, &verifier, &[])?.leaves;
    Ok(leaves.into_iter().rev().find(|leaf| leaf.session == session).map(|leaf| leaf.size))
}

/// Why the record of a refused session is not made again: the installation log has it. `None` if it is there, or was never made.
///
/// # Errors
/// If the installation log can't be read.
pub(crate) fn sealed_before(
    state: &StateDir,
    session: SessionId,
) -> Result<Option<String>, SessionError> {
    if has_record(&state.session(session)) {
        return Ok(None);
    }
    let doing = || SessionError::file("looking for the record of a refusal");
    let events = heads(state, session).map_err(io::Error::other).map_err(doing())?;
    if events.is_some() && is_empty(state).map_err(doing())? {
        return Err(doing()(io::Error::new(io::ErrorKind::NotFound, UNMOUNTED)));
    }
    Ok(events.map(|events| record_gone(&only_logged(events))))
}

/// The reason for a record of which only a head in the installation log is left.
fn only_logged(events: u64) -> String {
    format!("its record is gone, of which the installation log has a head of {events} events")
}

/// The reason of a lost session, with the advice.
pub(crate) fn record_gone(why: &str) -> String {
    format!("{why}; {ADVICE}")
}

impl Orchestrator {
    /// Records that a session is lost, unless that is on record.
    pub(crate) async fn lose(
        &self,
        session: SessionId,
        reason: String,
    ) -> Result<(), SessionError> {
        lose(self.plane(), session, reason).await?;
        self.release(session).await;
        Ok(())
    }

    /// The row, after a look whether its record is still there. A session that is over and whose record is gone is lost.
    ///
    /// # Errors
    /// Those of the control plane.
    pub async fn noticed(&self, row: SessionRow) -> Result<SessionRow, SessionError> {
        let lost = matches!(row.state, SessionState::Lost { .. });
        if lost || row.root.is_none() || has_record(&self.state().session(row.id)) {
            return Ok(row);
        }
        let doing = SessionError::file("looking for a session's record");
        if is_empty(self.state()).map_err(doing)? {
            return Ok(row);
        }
        self.lose(row.id, record_gone("its record is gone")).await?;
        self.row(row.id).await
    }
}

async fn lose(
    plane: &ControlPlane,
    session: SessionId,
    reason: String,
) -> Result<(), ControlError> {
    let row = plane.store().session(session).await?;
    if row.is_none_or(|row| matches!(row.state, SessionState::Lost { .. })) {
        return Ok(());
    }
    tracing::error!(%session, reason, "the session is lost");
    let body = ControlBody::SessionLost(SessionReason { session, reason });
    plane.record(&Author::server(), vec![body]).await?;
    Ok(())
}

/// Finds the sessions that should run and are lost, puts that on record, and returns them. For commands that do not follow sessions,
/// as after the index was rebuilt.
///
/// # Errors
/// Those of the control plane and of looking.
pub async fn find(state: &StateDir, plane: &ControlPlane) -> Result<Vec<SessionId>, SessionError> {
    let mut found = Vec::new();
    for row in plane.store().sessions_in(crate::lease::LIVING).await? {
        let (state, session) = (state.clone(), row.id);
        let looked = tokio::task::spawn_blocking(move || beginning(&state, session));
        if let Beginning::Lost(reason) = looked.await?? {
            lose(plane, session, reason).await?;
            found.push(session);
        }
    }
    Ok(found)
}
