//! The keys of an installation in the course of time, shown by the keys themselves.
//!
//! Each rotation is a signed note (C2SP signed-note v1.0.0) by the key that goes and the key that comes. Its text:
//! `custody/key-rotation/v1`, the two verifier keys, the sizes of the installation log and the control log in decimal,
//! and the time (RFC 3339), each on a line. So who trusts any key of the chain knows all of them, and what each may
//! have signed. `keys/history.json` holds the notes in order: canonical JSON and a newline.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use custody_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{InvalidVerifier, KeyError, Keys, Verifier};
use super::note::{Note, NoteError};
use super::term::{Term, Termed, Turn};
use crate::canonical::{self, CanonicalError};

/// Name of the file beside the keys.
pub const HISTORY_FILE: &str = "history.json";

/// Longest history that is read, in bytes: some thousand rotations.
pub const MAX_HISTORY_BYTES: usize = 4 << 20;

/// First line of a rotation's note.
const ROTATION: &str = "custody/key-rotation/v1";

/// Version of the file.
const HISTORY_VERSION: u32 = 1;

/// Why a history of keys is not believed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Longer than [`MAX_HISTORY_BYTES`].
    #[error("the history of keys is too long")]
    TooLong,
    /// Not the JSON that is wanted.
    #[error("the history of keys is malformed")]
    Json(#[from] serde_json::Error),
    /// In another spelling, or of another version.
    #[error("the history of keys is not in the form in which it was written")]
    NotCanonical,
    /// It has no canonical form.
    #[error(transparent)]
    Encode(#[from] CanonicalError),
    /// A key's text.
    #[error("the history of keys names something that is no key")]
    Key(#[from] InvalidVerifier),
    /// A rotation's note.
    #[error("rotation {at} of the history of keys is not signed by both of its keys")]
    Note {
        /// Which, from 0.
        at: usize,
        /// Why.
        #[source]
        source: NoteError,
    },
    /// A rotation's text.
    #[error("rotation {at} of the history of keys is malformed: {what}")]
    Malformed {
        /// Which, from 0.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A rotation that does not go on where the one before ended.
    #[error("rotation {at} of the history of keys does not follow the one before it")]
    Chain {
        /// Which, from 0.
        at: usize,
    },
    /// The key that is trusted does not occur.
    #[error("the key {0} does not occur in the history of keys")]
    Unknown(String),
    /// The file.
    #[error("the history of keys can't be read")]
    Io(#[from] io::Error),
}

/// One turn from a key to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The key that goes.
    pub from: Verifier,
    /// The key that comes.
    pub to: Verifier,
    /// When.
    pub turn: Turn,
    note: String,
}

impl Rotation {
    /// Signs it with both keys.
    pub(super) fn sign(from: &Keys, to: &Keys, turn: Turn) -> Self {
        let (old, new) = (from.verifier().alone(), to.verifier().alone());
        let text =
            format!("{ROTATION}\n{old}\n{new}\n{}\n{}\n{}\n", turn.log, turn.control, turn.time);
        let note = Note::sign(&text, from, old.name()).also_by(to, new.name());
        let note = String::from_utf8_lossy(&note.to_bytes()).into_owned();
        Self { from: old, to: new, turn, note }
    }

    /// The signed note.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    fn parse(at: usize, text: &str) -> Result<Self, HistoryError> {
        let bad = |what| HistoryError::Malformed { at, what };
        let signed = |source| HistoryError::Note { at, source };
        let note = Note::parse(text.as_bytes()).map_err(signed)?;
        if note.to_bytes() != text.as_bytes() || note.signatures().len() != 2 {
            return Err(bad("the note's form"));
        }
        let lines: Vec<&str> =
            note.text().strip_suffix('\n').unwrap_or_default().split('\n').collect();
        let [kind, from, to, log, control, time] = lines.as_slice() else {
            return Err(bad("the number of lines"));
        };
        if *kind != ROTATION {
            return Err(bad("the first line"));
        }
        let (from, to): (Verifier, Verifier) = (from.parse()?, to.parse()?);
        let number = |digits: &str| {
            let number: u64 = digits.parse().map_err(|_| bad("a size"))?;
            if number.to_string() == digits { Ok(number) } else { Err(bad("a size")) }
        };
        let stamp: Timestamp = time.parse().map_err(|_| bad("the time"))?;
        if stamp.to_string() != *time {
            return Err(bad("the time"));
        }
        let turn = Turn { log: number(log)?, control: number(control)?, time: stamp };
        note.verify(&from).map_err(signed)?;
        note.verify(&to).map_err(signed)?;
        Ok(Self { from, to, turn, note: text.to_owned() })
    }
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryFile {
    /// The verifier key that the installation began with.
    first: String,
    /// The rotations' notes, in order.
    rotations: Vec<String>,
    /// [`HISTORY_VERSION`].
    version: u32,
}

/// All keys of an installation, in order. Made only of rotations that both keys signed and that form a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHistory {
    first: Verifier,
    rotations: Vec<Rotation>,
}

impl KeyHistory {
    /// Of an installation that has had one key.
    #[must_use]
    pub fn of(key: &Verifier) -> Self {
        Self { first: key.alone(), rotations: Vec::new() }
    }

    /// Reads the file's content. That its keys are those of the installation that one means is not checked here:
    /// [`KeyHistory::trusting`].
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, HistoryError> {
        if bytes.len() > MAX_HISTORY_BYTES {
            return Err(HistoryError::TooLong);
        }
        let file: HistoryFile = serde_json::from_slice(bytes)?;
        let mut history = Self { first: file.first.parse()?, rotations: Vec::new() };
        for (at, note) in file.rotations.iter().enumerate() {
            let rotation = Rotation::parse(at, note)?;
            history.follow(at, rotation)?;
        }
        if file.version == HISTORY_VERSION && history.to_bytes()? == bytes {
            Ok(history)
        } else {
            Err(HistoryError::NotCanonical)
        }
    }

    /// Reads `history.json` beside the keys; where there was no rotation yet, the history of the one key.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join(HISTORY_FILE);
        let broken = |source| KeyError::History { path: path.clone(), source };
        match fs::read(&path) {
            Ok(bytes) => Self::parse(&bytes).map_err(broken),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::of(&Verifier::read(&dir.join("installation.vkey"))?))
            }
            Err(error) => Err(broken(error.into())),
        }
    }

    /// With one more rotation.
    pub(super) fn follow(&mut self, at: usize, next: Rotation) -> Result<(), HistoryError> {
        let before = self.rotations.last().map(|r| r.turn);
        let forward = before
            .is_none_or(|turn| turn.log <= next.turn.log && turn.control <= next.turn.control);
        let known = self.keys().any(|(key, _)| key == next.to);
        if *self.current() != next.from || next.to.name() != next.from.name() || known || !forward {
            return Err(HistoryError::Chain { at });
        }
        self.rotations.push(next);
        Ok(())
    }

    /// The canonical bytes, with a newline at the end.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        let file = HistoryFile {
            first: self.first.to_string(),
            rotations: self.rotations.iter().map(|r| r.note.clone()).collect(),
            version: HISTORY_VERSION,
        };
        let mut bytes = canonical::to_vec(&file)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// The key in force.
    #[must_use]
    pub fn current(&self) -> &Verifier {
        self.rotations.last().map_or(&self.first, |rotation| &rotation.to)
    }

    /// The rotations, in order.
    #[must_use]
    pub fn rotations(&self) -> &[Rotation] {
        &self.rotations
    }

    /// Every key with its term, in order.
    pub fn keys(&self) -> impl Iterator<Item = (Verifier, Term)> + '_ {
        (0..=self.rotations.len()).map(|at| {
            let since = at.checked_sub(1).and_then(|before| self.rotations.get(before));
            let until = self.rotations.get(at).map(|rotation| rotation.turn);
            let key = since.map_or(&self.first, |rotation| &rotation.to);
            (key.clone(), Term { since: since.map(|rotation| rotation.turn), until })
        })
    }

    /// A verifier that knows all keys and their terms.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let mut keys: Vec<Termed> =
            self.keys().map(|(key, term)| Termed { public: *key.public(), term }).collect();
        keys.reverse();
        Verifier::with_keys(self.current().name(), &Arc::from(keys))
    }

    /// The same, if `trusted` is one of the keys: each rotation is signed by both of its keys, so that one vouches for
    /// all. What an old key vouches for is worth no more than the secrecy of that old key: trust the newest.
    ///
    /// # Errors
    /// [`HistoryError::Unknown`].
    pub fn trusting(&self, trusted: &Verifier) -> Result<Verifier, HistoryError> {
        if self.keys().any(|(key, _)| key == *trusted) {
            Ok(self.verifier())
        } else {
            Err(HistoryError::Unknown(trusted.id()))
        }
    }
}
