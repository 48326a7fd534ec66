//! Which form of a record counts: the journal of a session that lives, or what was sealed. This is the one place that decides.
//!
//! A signature decides, and not which files there are. What the installation's key signed for this session, the checkpoint
//! or the seal, counts before any journal that lies beside it. A journal counts beside a seal only as long as it holds
//! exactly what the seal says: its writer died, or is, between two steps of the seal.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use custody_model::SessionId;

use crate::canonical;
use crate::installation::InstallationLeaves;
use crate::journal::frame::FrameReader;
use crate::journal::{Head, JOURNAL_FILE};
use crate::seal::{Envelope, KEY_FILE, MAX_ENVELOPE_BYTES, SEAL_FILE, Statement};
use crate::tlog::{Checkpoint, Frontier, KeyError, MAX_NOTE_BYTES, Verifier, leaf_hash};

/// Name of the file with the signed head of a sealed record (C2SP tlog-checkpoint).
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";

/// The form of a record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no record.
    Absent,
    /// The journal counts.
    Journal,
    /// The tiles, up to a signed head. Without a journal beside them nothing competes: the head is absent here then, and
    /// whether it is signed is for `verify` to say.
    Sealed(Option<Head>),
}

/// Whose signature counts for a record, and for which session.
#[derive(Clone, Debug)]
pub(crate) struct Vouching {
    /// The installation's keys.
    pub(crate) key: Verifier,
    /// The session whose record it is to be, if that is known.
    pub(crate) session: Option<SessionId>,
    /// The installation log, if there is one to ask.
    pub(crate) log: Option<PathBuf>,
}

/// What is known of a session by signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    /// Nothing is known.
    Nothing,
    /// It was begun, and heads of its record are in the installation log.
    Living,
    /// It was sealed, with this head.
    Sealed(Head),
}

/// What was signed for a record, as far as it lies in its directory.
#[derive(Clone, Copy, Debug)]
struct Signed {
    head: Head,
    /// The checkpoint says so, and with it everything that is written before it is there.
    checkpoint: bool,
}

/// Reads a file of a record, up to a limit of bytes and one more.
pub(crate) fn read_limited(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Vouching {
    /// For the record in `dir`. Where it lies in an installation, as `sessions/ID/record` beside `keys`, the keys are that
    /// installation's and the session is the directory's. Elsewhere it is the key that the record names. `None` if it names
    /// none.
    ///
    /// # Errors
    /// [`KeyError`] if the installation's keys can't be read.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, KeyError> {
        match Installed::around(dir) {
            Some(Installed { keys, log, session }) => Ok(Some(Self {
                key: Verifier::of_installation(&keys)?,
                session: Some(session),
                log: Some(log),
            })),
            None => {
                let key = Verifier::read(&dir.join(KEY_FILE)).ok();
                Ok(key.map(|key| Self { key, session: None, log: None }))
            }
        }
    }

    fn is_of(&self, origin: &str) -> bool {
        match self.session {
            Some(session) => origin == self.key.session_origin(session),
            None => true,
        }
    }

    /// The head that the checkpoint says, if it is genuine and of this session.
    fn checkpoint(&self, dir: &Path) -> Option<Head> {
        let bytes = read_limited(&dir.join(CHECKPOINT_FILE), MAX_NOTE_BYTES).ok()?;
        let origin = Checkpoint::peek(&bytes).ok()?.origin;
        let of_a_session = origin.starts_with(&format!("{}/session/", self.key.name()));
        if !of_a_session || !self.is_of(&origin) {
            return None;
        }
        let found = Checkpoint::open(&bytes, &origin, &self.key).ok()?;
        Some(Head { size: found.size, root: found.root })
    }

    /// The head that the seal says, if it is genuine and of this session.
    fn seal(&self, dir: &Path) -> Option<Head> {
        let bytes = read_limited(&dir.join(SEAL_FILE), MAX_ENVELOPE_BYTES).ok()?;
        let payload = Envelope::parse(&bytes).and_then(|seal| seal.verify(&self.key)).ok()?;
        let statement: Statement = serde_json::from_slice(&payload).ok()?;
        if canonical::to_vec(&statement).ok()? != payload {
            return None;
        }
        let said = statement.predicate;
        let own = said.log.origin == self.key.session_origin(said.session);
        (own && self.is_of(&said.log.origin))
            .then_some(Head { size: said.log.size, root: said.log.root })
    }

    /// Whether the seal in the directory is genuine and of this session.
    pub(crate) fn has_seal(&self, dir: &Path) -> bool {
        self.seal(dir).is_some()
    }

    fn signed(&self, dir: &Path) -> Option<Signed> {
        let by_checkpoint = self.checkpoint(dir).map(|head| Signed { head, checkpoint: true });
        by_checkpoint.or_else(|| self.seal(dir).map(|head| Signed { head, checkpoint: false }))
    }

    /// The sealed head of the session in the installation log. A log that can't be read or believed says nothing here:
    /// that is a finding of its own.
    fn logged(&self) -> Logged {
        let (Some(log), Some(session)) = (&self.log, self.session) else { return Logged::Nothing };
        let Ok(log) = InstallationLeaves::read(log, &self.key, &[]) else { return Logged::Nothing };
        let own = || log.leaves.iter().rev().filter(|leaf| leaf.session == session);
        match (own().find(|leaf| leaf.sealed), own().next()) {
            (Some(leaf), _) => Logged::Sealed(Head { size: leaf.size, root: leaf.root }),
            (None, Some(_)) => Logged::Living,
            (None, None) => Logged::Nothing,
        }
    }

    /// The form of the record in `dir` that counts.
    pub(crate) fn standing(&self, dir: &Path) -> Standing {
        if let Some(plain) = without_conflict(dir) {
            return plain;
        }
        match self.signed(dir) {
            Some(Signed { head, checkpoint: true }) => Standing::Sealed(Some(head)),
            // Sealed but for the checkpoint: the journal has the same events, unless it is another one.
            Some(Signed { head, checkpoint: false }) => match journal_head(dir) {
                Some(found) if found == head => Standing::Journal,
                Some(_) | None => Standing::Sealed(Some(head)),
            },
            // Both are gone or damaged, or neither is of this session: then the log knows whether it was sealed.
            None => match self.logged() {
                Logged::Sealed(head) if journal_head(dir) != Some(head) => {
                    Standing::Sealed(Some(head))
                }
                Logged::Sealed(_) | Logged::Living | Logged::Nothing => Standing::Journal,
            },
        }
    }

    /// What is on record of the session by what is signed in its directory, or else by the installation log. Whoever goes on
    /// with a record asks this first.
    pub(crate) fn known(&self, dir: &Path) -> Logged {
        match self.signed(dir) {
            Some(signed) => Logged::Sealed(signed.head),
            None => self.logged(),
        }
    }

    /// Whether the checkpoint and the seal are both there, genuine, and of one head: only the removal of the journal is left
    /// then.
    pub(crate) fn is_finished(&self, dir: &Path) -> bool {
        self.checkpoint(dir).is_some_and(|head| self.seal(dir) == Some(head))
    }
}

/// Where a record lies in an installation.
struct Installed {
    keys: PathBuf,
    log: PathBuf,
    session: SessionId,
}

impl Installed {
    /// By the layout of the state directory: `STATE/sessions/ID/record`.
    fn around(record: &Path) -> Option<Self> {
        // The record itself may be gone.
        let own = record.file_name()?.to_str()? == "record";
        let above = fs::canonicalize(record.parent()?).ok()?;
        let session = above.file_name()?.to_str()?.parse().ok()?;
        let sessions = above.parent()?;
        let state = sessions.parent()?;
        let keys = state.join("keys");
        let whole =
            own && sessions.file_name()?.to_str()? == "sessions" && keys.join(KEY_FILE).is_file();
        whole.then(|| Self { keys, log: state.join("log"), session })
    }
}

/// The form that counts where nothing competes; `None` where a journal lies beside something that was sealed.
fn without_conflict(dir: &Path) -> Option<Standing> {
    let journal = dir.join(JOURNAL_FILE).exists();
    let checkpoint = dir.join(CHECKPOINT_FILE).exists();
    // Tiles alone are those of a seal that is being written, or of one that lost what was signed.
    let sealed = checkpoint || dir.join(SEAL_FILE).exists() || dir.join("tile").exists();
    match (journal, sealed) {
        (false, _) if checkpoint => Some(Standing::Sealed(None)),
        (false, _) => Some(Standing::Absent),
        (true, false) => Some(Standing::Journal),
        (true, true) => None,
    }
}

/// The session whose directory a record lies in, if it lies in an installation.
pub(crate) fn session_of(dir: &Path) -> Option<SessionId> {
    Installed::around(dir).map(|installed| installed.session)
}

/// The form of the record in `dir` that counts.
///
/// # Errors
/// [`KeyError`] if the keys that check signatures can't be used.
pub(crate) fn standing(dir: &Path) -> Result<Standing, KeyError> {
    match without_conflict(dir) {
        Some(plain) => Ok(plain),
        None => Ok(Vouching::of(dir)?.map_or(Standing::Journal, |by| by.standing(dir))),
    }
}

/// The head of what the journal holds, if every byte of it is a whole frame; `None` if it can't be read so.
fn journal_head(dir: &Path) -> Option<Head> {
    let file = File::open(dir.join(JOURNAL_FILE)).ok()?;
    let mut frames = FrameReader::new(BufReader::with_capacity(1 << 20, file)).ok()?;
    frames.next().ok()??;
    let mut frontier = Frontier::default();
    while let Some(payload) = frames.next().ok()? {
        frontier.push(leaf_hash(payload));
    }
    Some(Head { size: frontier.size(), root: frontier.root() })
}
