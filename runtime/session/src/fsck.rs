//! `fsck`: checks every log, record and content of an installation, and moves aside what is damaged.
//!
//! It never deletes and never invents: what is damaged keeps its bytes, under `quarantine/`, and the move is an event of
//! the control log before it happens. Everything is held against everything: the two logs against their anchors and what
//! witnesses cosigned, the sessions that each of them knows against each other, their directories, seals and keys. The
//! installation's own two logs are never moved: nothing could be appended without their heads. Nor is what a living session writes, nor a file with nothing but a foreign signature.

mod known;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_keeper::layout::StateDir;
use custody_model::error::chain;
use custody_model::{Actor, Digest, EventId, SessionId, Timestamp};
use custody_record::control::{
    ControlBody, ControlDraft, ControlLog, ControlLogError, Quarantined, SessionReason,
    verify_control,
};
use custody_record::installation::{InstallationLeaves, LogError};
use custody_record::tlog::{Anchor, Checkpoint};
use custody_record::verify::{Code, Concern, DEFAULT_BLOB_LIMIT};
use custody_record::witness::COSIGNED_FILE;
use custody_record::{KeyChoice, KeyError, Vault, Verifier, VerifyOptions, verify};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::known::KnownSessions;
use crate::lost::{self, Beginning, Launched, beginning};
use crate::reconcile::{has_record, locked};
use crate::records::{self, FindError};

/// Name of the directory, below the state directory, that takes what is damaged.
pub const QUARANTINE: &str = "quarantine";

/// Events of the control log that are read at once.
const BATCH: usize = 1024;

/// Why the check could not be made, or went no further.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// Without the keys nothing can be checked.
    #[error("the installation's keys can't be used: nothing can be checked without them")]
    Keys(#[from] KeyError),
    /// The sessions.
    #[error("the sessions can't be listed")]
    Find(#[from] FindError),
    /// The control log.
    #[error("the control log can't be read or written")]
    Control(#[from] ControlLogError),
    /// Random bytes for an event's id.
    #[error("there are no random bytes for an event's id")]
    Random(#[source] io::Error),
    /// A file.
    #[error("{path} can't be moved aside")]
    Move {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Something that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// `control log`, `installation log`, `index`, or the session's id.
    pub place: String,
    /// Its stable name.
    pub code: String,
    /// In words.
    pub what: String,
    /// The file, below the state directory, if it is one.
    pub file: Option<PathBuf>,
    /// Where the file was moved, below the state directory; absent if it stays where it is.
    pub quarantined: Option<PathBuf>,
    /// It is to be moved.
    #[serde(skip)]
    movable: bool,
}

impl Damage {
    /// Damage that stays in its place.
    #[must_use]
    pub fn kept(place: &str, code: &str, what: impl Into<String>, file: Option<PathBuf>) -> Self {
        let (place, code) = (place.to_owned(), code.to_owned());
        Self { place, code, what: what.into(), file, quarantined: None, movable: false }
    }

    /// Damage of a file that is to be moved aside.
    #[must_use]
    pub fn movable(place: &str, code: &str, what: impl Into<String>, file: PathBuf) -> Self {
        Self { movable: true, ..Self::kept(place, code, what, Some(file)) }
    }
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Sessions whose record was checked.
    pub sessions: u64,
    /// Of them, those that are not sealed: they live, or are to be closed by the next server.
    pub open: u64,
    /// Their events.
    pub events: u64,
    /// Their contents.
    pub blobs: u64,
    /// Events of the control log.
    pub control_events: u64,
    /// Documents of the control log.
    pub documents: u64,
    /// Heads in the installation log.
    pub heads: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Sessions that were found to be lost, and why; the control log does not know it yet.
    #[serde(skip)]
    pub(crate) lost: Vec<(SessionId, String)>,
}

/// Checks everything but the index. Changes nothing.
///
/// # Errors
/// [`FsckError::Keys`], [`FsckError::Find`].
pub fn check(
    state: &StateDir,
    control: &ControlLog,
    progress: &mut dyn FnMut(u64),
) -> Result<Checked, FsckError> {
    let verifier = Verifier::of_installation(&state.keys())?;
    let mut checked = Checked::default();
    let requested = check_control(state, control, &verifier, &mut checked);
    let known = check_installation(state, &verifier, &mut checked);
    let sessions = records::all(state)?;
    for session in &sessions {
        check_session(state, control.vault(), *session, &verifier, known.is_some(), &mut checked);
        progress(checked.sessions);
    }
    let there: BTreeSet<SessionId> = sessions.into_iter().collect();
    let recorded = |session: &&SessionId| has_record(&state.session(**session));
    for gone in known.iter().flatten().filter(|session| !recorded(session)) {
        let what = "the installation log has heads of its record, and it is gone";
        checked.damage.push(Damage::kept(&gone.to_string(), "session_missing", what, None));
    }
    if let Some(requested) = requested {
        let heads = known.unwrap_or_default();
        checked.damage.extend(requested.compare(state, control.vault(), &there, &heads));
    }
    check_launched(state, control, &mut checked)?;
    Ok(checked)
}

/// Compares the sessions that the control log says were launched with what is there of them.
fn check_launched(
    state: &StateDir,
    control: &ControlLog,
    checked: &mut Checked,
) -> Result<(), FsckError> {
    if checked.damage.iter().any(|damage| damage.code == "control_log_broken") {
        return Ok(());
    }
    for (session, launched) in lost::launched(control)? {
        let recorded = has_record(&state.session(session));
        let (code, what) = match launched {
            // A launch that failed left no record.
            Launched::Abandoned => continue,
            Launched::Lost if recorded => (
                "session_returned",
                "the control log says that it is lost, and its record is there: its state stays lost".to_owned(),
            ),
            Launched::Lost => ("session_lost", "it is lost: its record is gone".to_owned()),
            Launched::Yes if recorded => continue,
            Launched::Yes => match beginning(state, session) {
                Ok(Beginning::Begun | Beginning::Never) => continue,
                Ok(Beginning::Lost(reason)) => {
                    checked.lost.push((session, reason.clone()));
                    ("session_lost", reason)
                }
                Err(error) => ("session_lost", chain(&error)),
            },
        };
        checked.damage.push(Damage::kept(&session.to_string(), code, what, None));
    }
    Ok(())
}

/// Puts on record that sessions are lost which nobody knew to be, so that nobody takes them for ones to launch.
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

/// The name that the control log's findings have here.
pub const CONTROL: &str = "control log";

/// The name that the installation log's findings have here.
const INSTALLATION: &str = "installation log";

/// The sessions that the control log knows; `None` if it can't be believed.
fn check_control(
    state: &StateDir,
    log: &ControlLog,
    verifier: &Verifier,
    checked: &mut Checked,
) -> Option<KnownSessions> {
    let broken = |what: String| Damage::kept(CONTROL, "control_log_broken", what, None);
    match verify_control(log.dir(), verifier) {
        Ok(report) => {
            checked.control_events = report.events;
            checked.damage.extend(report.findings.into_iter().map(broken));
        }
        Err(error) => checked.damage.push(broken(chain(&error))),
    }
    if checked.damage.is_empty()
        && let Err(error) = log.check()
    {
        checked.damage.push(broken(chain(&error)));
    }
    if !checked.damage.is_empty() {
        return None;
    }
    check_anchor(CONTROL, log.dir(), &verifier.control_origin(), verifier, checked);
    match check_documents(state, log, checked) {
        Ok(known) => Some(known),
        Err(error) => {
            checked.damage.push(broken(chain(&error)));
            None
        }
    }
}

/// An anchor that is gone or damaged holds nothing against its log; the next append writes it again.
fn check_anchor(place: &str, dir: &Path, origin: &str, verifier: &Verifier, checked: &mut Checked) {
    let (code, what) = match Anchor::read(dir, origin, verifier) {
        Ok(Anchor::Head(_)) => return,
        // A log that no version appended to yet that writes anchors.
        Ok(Anchor::Absent) if !checked.damage.is_empty() || !dir.join("checkpoint").exists() => {
            return;
        }
        Ok(Anchor::Absent) => {
            let what = "its anchor is gone, or it was never anchored; the next append writes it";
            ("anchor_missing", what.to_owned())
        }
        Ok(Anchor::Damaged(error)) => ("anchor_damaged", chain(&error)),
        Err(error) => ("anchor_damaged", error.to_string()),
    };
    checked.damage.push(Damage::kept(place, code, what, None));
}

fn check_documents(
    state: &StateDir,
    log: &ControlLog,
    checked: &mut Checked,
) -> Result<KnownSessions, ControlLogError> {
    let (mut named, mut known) = (BTreeSet::new(), KnownSessions::default());
    let mut from = 0;
    loop {
        let events = log.read(from, BATCH)?;
        if events.is_empty() {
            break;
        }
        from += events.len() as u64;
        events.iter().for_each(|event| known.take(event));
        named.extend(events.into_iter().flat_map(|event| event.blobs).map(|blob| blob.digest));
    }
    for digest in named {
        checked.documents += 1;
        if let Err(error) = log.blobs().check(&digest, DEFAULT_BLOB_LIMIT) {
            let path = below(state, &log.blobs().path(&digest));
            let there = state.path().join(&path).exists();
            checked.damage.push(match there {
                true => Damage::movable(CONTROL, "blob_damaged", chain(&error), path),
                false => Damage::kept(CONTROL, "blob_missing", chain(&error), Some(path)),
            });
        }
    }
    Ok(known)
}

/// The sessions that the installation log knows; `None` if it can't be believed.
fn check_installation(
    state: &StateDir,
    verifier: &Verifier,
    checked: &mut Checked,
) -> Option<BTreeSet<SessionId>> {
    let (dir, origin) = (state.log(), verifier.log_origin());
    let nothing = |name: &str| !dir.join(name).exists();
    if nothing("checkpoint")
        && nothing("tile")
        && nothing(COSIGNED_FILE)
        && !Anchor::path(&dir).exists()
    {
        return Some(BTreeSet::new());
    }
    let broken = |code, what: String| Damage::kept(INSTALLATION, code, what, None);
    let cosigned = fs::read(dir.join(COSIGNED_FILE)).ok();
    let cosigned = cosigned.map(|bytes| Checkpoint::open(&bytes, &origin, verifier));
    let wanted: Vec<u64> = cosigned.iter().flatten().map(|head| head.size).collect();
    let log = match InstallationLeaves::read(&dir, verifier, &wanted) {
        Ok(log) => log,
        Err(error) => {
            let code = match error {
                LogError::Anchor { .. } => "installation_log_taken_back",
                LogError::Io { .. } if nothing("checkpoint") => "installation_log_headless",
                LogError::Io { .. }
                | LogError::Extend(_)
                | LogError::Checkpoint(_)
                | LogError::Root
                | LogError::Bundle(_)
                | LogError::Leaf(_)
                | LogError::Encode(_) => "installation_log_broken",
            };
            let what =
                format!("{}; nothing is appended to it: put back its newest copy", chain(&error));
            checked.damage.push(broken(code, what));
            return None;
        }
    };
    checked.heads = log.leaves.len() as u64;
    let tiles = log.damaged_tiles(&dir).unwrap_or_else(|error| vec![error.to_string()]);
    for tile in tiles {
        let what = format!("{tile} does not hold the hashes of the heads");
        checked.damage.push(broken("installation_log_broken", what));
    }
    match cosigned {
        Some(Ok(head)) if head.size > 0 && log.root_at(head.size) != Some(head.root) => {
            let what =
                format!("it does not go on from the {} heads that witnesses cosigned", head.size);
            checked.damage.push(broken("cosigned_differs", what));
        }
        Some(Err(error)) => checked.damage.push(broken("cosigned_damaged", chain(&error))),
        Some(Ok(_)) | None => {}
    }
    check_anchor(INSTALLATION, &dir, &origin, verifier, checked);
    Some(log.leaves.iter().map(|leaf| leaf.session).collect())
}

fn check_session(
    state: &StateDir,
    vault: &Arc<Vault>,
    session: SessionId,
    verifier: &Verifier,
    log_is_good: bool,
    checked: &mut Checked,
) {
    let record = state.session(session).record();
    if !has_record(&state.session(session)) {
        return;
    }
    let options = VerifyOptions::new(KeyChoice::Installation(verifier.clone()));
    let options = options.with_vault(vault.clone()).of_session(session);
    let report = verify(
        &record,
        &match log_is_good {
            true => options.with_installation_log(&state.log()),
            false => options,
        },
    );
    if report.sealed {
        check_beside(state, session, checked);
    }
    checked.sessions += 1;
    checked.open += u64::from(!report.sealed);
    checked.events += report.events;
    checked.blobs += report.blobs;
    let root_is_right = !report.findings.iter().any(|finding| finding.code == Code::RootMismatch);
    for finding in &report.findings {
        let counts = match finding.concern {
            Concern::Integrity => true,
            // What the record says of itself is no damage; that less is there than was logged is.
            Concern::Completeness => {
                matches!(
                    finding.code,
                    Code::OlderThanInstallationLog
                        | Code::SealNotInInstallationLog
                        | Code::SealMissing
                        | Code::ClosingMissing
                ) || (report.sealed && finding.code == Code::NotInInstallationLog)
            }
            // Nothing that is told changes by it, and it is nobody's.
            Concern::Note => {
                matches!(finding.code, Code::UnsealedBesideSeal | Code::ForeignSeal)
            }
            Concern::Open => false,
        };
        if !counts || (finding.code == Code::SealMissing && !report.sealed) {
            continue;
        }
        let file = finding.file.as_ref().map(|file| below(state, &record.join(file)));
        let there = file.as_ref().is_some_and(|f| state.path().join(f).symlink_metadata().is_ok());
        let place = session.to_string();
        let (code, what) = (finding.code.to_string(), finding.what.clone());
        checked.damage.push(match file {
            Some(file)
                if (report.sealed || finding.code == Code::ForeignSeal)
                    && there
                    && is_damaged(finding.code, root_is_right) =>
            {
                Damage::movable(&place, &code, what, file)
            }
            file => Damage::kept(&place, &code, what, file),
        });
    }
}

/// Names what only a living session has, beside a sealed record. Nobody goes on with it.
fn check_beside(state: &StateDir, session: SessionId, checked: &mut Checked) {
    let dir = state.session(session);
    // A keeper that is just ending takes it away itself.
    if dir.run().exists() && !locked(&dir).unwrap_or(true) {
        let what = "the session is over: what only a keeper needs lies beside its sealed record";
        let file = below(state, &dir.run());
        checked.damage.push(Damage::movable(&session.to_string(), "run_beside_seal", what, file));
    }
}

/// Whether the file that a finding names is itself what is damaged. Where the events give the signed root, a hash that
/// does not fit them is the tile's fault.
fn is_damaged(code: Code, root_is_right: bool) -> bool {
    match code {
        Code::EventMalformed
        | Code::EventAltered
        | Code::EventMissing
        | Code::EventDuplicated
        | Code::EventOutOfOrder
        | Code::ChainBroken
        | Code::BundleDamaged => !root_is_right,
        Code::TileAltered
        | Code::CheckpointMalformed
        | Code::CheckpointSignature
        | Code::KeyFileDamaged
        | Code::SealMalformed
        | Code::SealSignature
        | Code::SealNamesAnotherRoot
        | Code::SealDiffers
        | Code::BlobSwapped
        | Code::BlobDamaged
        | Code::BlobSize
        | Code::SpecialFile
        | Code::UnsealedBesideSeal
        | Code::ForeignSeal => true,
        Code::NoRecord
        | Code::EventAfterClosing
        | Code::EventForeign
        | Code::LogTruncated
        | Code::TileMissing
        | Code::RootMismatch
        | Code::JournalDamaged
        | Code::JournalTorn
        | Code::CheckpointMissing
        | Code::CheckpointKeyUnknown
        | Code::KeyDiffers
        | Code::KeyOutOfTerm
        | Code::KeyMissing
        | Code::KeyFromRecord
        | Code::BlobMissing
        | Code::ContentLocked
        | Code::ContentUnopened
        | Code::ContentKeyMissing
        | Code::ContentErased
        | Code::ErasureNotGenuine
        | Code::BlobUnreferenced
        | Code::UnexpectedFile
        | Code::SessionDiffers
        | Code::ClockSetBack
        | Code::SessionLost
        | Code::Unreadable
        | Code::SealMissing
        | Code::SealKeyUnknown
        | Code::ClosingMissing
        | Code::ClosingCounts
        | Code::Gap
        | Code::NotClosed
        | Code::InstallationLogNotGiven
        | Code::InstallationLogBroken
        | Code::NotInInstallationLog
        | Code::OlderThanInstallationLog
        | Code::InstallationLogDiffers
        | Code::SealNotInInstallationLog
        | Code::CosignatureInvalid
        | Code::PackMalformed
        | Code::PackTruncated
        | Code::PackAltered
        | Code::ProofBroken
        | Code::PolicyDiffers
        | Code::EventsWithheld
        | Code::BlobWithheld => false,
    }
}

fn below(state: &StateDir, path: &Path) -> PathBuf {
    path.strip_prefix(state.path()).unwrap_or(path).to_owned()
}

/// What a quarantine needs from outside.
pub struct Mover<'a> {
    /// Where each move is put on record before it happens.
    pub log: &'a ControlLog,
    /// Who moves.
    pub actor: Actor,
    /// When.
    pub now: Timestamp,
    /// Gives ten random bytes, for the events' ids.
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
