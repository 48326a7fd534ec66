//! What a check changes: damaged files are moved aside, and lost sessions are put on record.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use custody_keeper::layout::StateDir;
use custody_model::{Actor, Digest, EventId, Timestamp};
use custody_record::control::{ControlBody, ControlDraft, ControlLog, Quarantined, SessionReason};
use sha2::{Digest as _, Sha256};

use super::{Checked, Damage, FsckError};

/// Name of the directory, below the state directory, that takes what is damaged.
pub const QUARANTINE: &str = "quarantine";

/// The parameters of a quarantine.
pub struct Mover<'a> {
    /// The log that has each move before it happens.
    pub log: &'a ControlLog,
    /// The actor of the moves.
    pub actor: Actor,
    /// The time of the moves.
    pub now: Timestamp,
    /// Returns ten random bytes, for an event's id.
    pub random: &'a dyn Fn() -> io::Result<[u8; 10]>,
}

/// Moves aside what is damaged: on record first, and each file with its path, so that it can be put back.
///
/// # Errors
/// [`FsckError`]: what was moved before it is moved, and on record.
pub fn quarantine(
    state: &StateDir,
    checked: &mut Checked,
    mover: &Mover<'_>,
) -> Result<(), FsckError> {
    if checked.damage.iter().any(|damage| damage.code == "control_log_broken") {
        // A move that can't be put on record does not happen.
        return Ok(());
    }
    let room = PathBuf::from(QUARANTINE).join(mover.now.as_micros().to_string());
    let mut moved: BTreeSet<PathBuf> = BTreeSet::new();
    for damage in checked.damage.iter_mut().filter(|damage| damage.movable) {
        let Some(file) = damage.file.clone() else { continue };
        let to = room.join(&file);
        if moved.insert(file.clone()) {
            put_aside(state, damage, &file, &to, mover)?;
        }
        damage.quarantined = Some(to);
    }
    Ok(())
}

fn put_aside(
    state: &StateDir,
    damage: &Damage,
    file: &Path,
    to: &Path,
    mover: &Mover<'_>,
) -> Result<(), FsckError> {
    let failed = |source| FsckError::Move { path: file.to_owned(), source };
    let (from, target) = (state.path().join(file), state.path().join(to));
    let body = ControlBody::FileQuarantined(Quarantined {
        session: damage.place.parse().ok(),
        file: file.display().to_string(),
        to: to.display().to_string(),
        digest: digest(&from).map_err(failed)?,
        code: damage.code.clone(),
        reason: damage.what.clone(),
    });
    let random = (mover.random)().map_err(failed)?;
    mover.log.append(vec![draft(mover, random, body)])?;
    let dir = target.parent().unwrap_or(state.path());
    fs::create_dir_all(dir).map_err(failed)?;
    fs::rename(&from, &target).map_err(failed)?;
    for changed in [dir, from.parent().unwrap_or(state.path())] {
        File::open(changed).and_then(|dir| dir.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Puts newly found lost sessions on record, so that they are not launched again.
///
/// # Errors
/// [`FsckError::Control`].
pub fn record_lost(checked: &Checked, mover: &Mover<'_>) -> Result<(), FsckError> {
    for (session, reason) in &checked.lost {
        let reason = SessionReason { session: *session, reason: reason.clone() };
        let random = (mover.random)().map_err(FsckError::Random)?;
        mover.log.append(vec![draft(mover, random, ControlBody::SessionLost(reason))])?;
    }
    Ok(())
}

fn draft(mover: &Mover<'_>, random: [u8; 10], body: ControlBody) -> ControlDraft {
    ControlDraft {
        id: EventId::new(mover.now, random),
        time: mover.now,
        actor: mover.actor.clone(),
        via: None,
        cause: None,
        body,
        blobs: Vec::new(),
        redactions: Vec::new(),
    }
}

/// SHA-256 of a regular file; absent for what is none, which is not opened.
fn digest(path: &Path) -> io::Result<Option<Digest>> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let mut reader = BufReader::with_capacity(64 << 10, File::open(path)?);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Some(Digest::from_bytes(hash.finalize().into()))),
            read => hash.update(&buffer[..read]),
        }
    }
}
