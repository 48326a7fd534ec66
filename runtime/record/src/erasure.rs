//! The note that a record's content was erased: who, when and why, beside what is left, so that a copy explains itself.
//!
//! `erasure.note` in a record's directory is a signed note (C2SP signed-note v1.0.0) by the installation's key under the name
//! `<installation>/erasure`. Its text is the line `custody/erasure/v2` and one line of canonical JSON (RFC 8785). Notes of
//! version 1 lack `seq` and are read as well.
//!
//! A key signs what was decided while it was in force or before: whoever died is completed later, perhaps under the next key. A
//! key that was replaced signs nothing that was decided after that. What is decided is an event of the control log, so its
//! place there tells, as with the heads of the logs.

use std::fs;
use std::io;
use std::path::Path;

use custody_model::{EventId, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::disk;
use crate::durable;
use crate::tlog::{Keys, Note, NoteError, Term, Verifier};

/// Name of the note's file in a record's directory.
pub(crate) const ERASURE_FILE: &str = "erasure.note";

/// First line of the text: the format and its version.
const FORMAT: &str = "custody/erasure/v2";

/// The version before, whose key's term is told by the time alone.
const FORMAT_1: &str = "custody/erasure/v1";

/// Why a note of erasure can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// The file.
    #[error("the note of erasure can't be read or written")]
    Io(#[from] io::Error),
    /// The note.
    #[error("the note of erasure is no signed note, or not one of this installation")]
    Note(#[from] NoteError),
    /// It is of a key that had been replaced.
    #[error(
        "the key {key} signed the note of erasure, and was not in force any more when that was decided"
    )]
    OutOfTerm {
        /// Name and hash.
        key: String,
    },
    /// Its text.
    #[error("the note of erasure does not say what one says")]
    Malformed,
    /// What it is to say.
    #[error("the note of erasure can't be written")]
    Encode(#[from] CanonicalError),
}

/// That the content of a session was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Which session's.
    pub session: SessionId,
    /// By whom; `system` if a retention class ended.
    pub by: UserName,
    /// When it was decided.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// The control event that decided it.
    pub event: EventId,
    /// Its place in the control log; absent in notes of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
}

fn name(verifier: &Verifier) -> String {
    format!("{}/erasure", verifier.name())
}

impl Erasure {
    /// The note in a record's directory, if there is one. Whether it is genuine is not checked.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub fn read(record: &Path) -> Result<Option<Self>, ErasureError> {
        Self::note(record)?.map(|note| Self::parse(note.text())).transpose()
    }

    /// The note, if there is one, checked against the installation's keys and their terms.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub fn genuine(record: &Path, verifier: &Verifier) -> Result<Option<Self>, ErasureError> {
        let Some(note) = Self::note(record)? else { return Ok(None) };
        let (key, term) = note.signer(&verifier.named(&name(verifier)))?;
        let erasure = Self::parse(note.text())?;
        if erasure.is_within(&term) {
            Ok(Some(erasure))
        } else {
            Err(ErasureError::OutOfTerm { key: key.id() })
        }
    }

    /// Whether it was decided before the term ended.
    fn is_within(&self, term: &Term) -> bool {
        let Some(until) = term.until else { return true };
        match self.seq {
            // Heads of up to that size are the key's, and the event is in those above its place.
            Some(seq) => seq < until.control,
            None => self.at <= until.time,
        }
    }

    fn note(record: &Path) -> Result<Option<Note>, ErasureError> {
        match fs::read(record.join(ERASURE_FILE)) {
            Ok(bytes) => Ok(Some(Note::parse(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn parse(text: &str) -> Result<Self, ErasureError> {
        let (format, rest) = text.split_once('\n').ok_or(ErasureError::Malformed)?;
        let json = rest.strip_suffix('\n').ok_or(ErasureError::Malformed)?;
        let erasure: Self = serde_json::from_str(json).map_err(|_| ErasureError::Malformed)?;
        match (format, erasure.seq) {
            (FORMAT, Some(_)) | (FORMAT_1, None) => Ok(erasure),
            _ => Err(ErasureError::Malformed),
        }
    }

    /// Writes the note, durably.
    ///
    /// # Errors
    /// [`ErasureError`].
    pub fn write(&self, record: &Path, keys: &Keys) -> Result<(), ErasureError> {
        let json = String::from_utf8_lossy(&canonical::to_vec(self)?).into_owned();
        let format = if self.seq.is_some() { FORMAT } else { FORMAT_1 };
        let note = Note::sign(&format!("{format}\n{json}\n"), keys, &name(&keys.verifier()));
        Ok(durable::replace(&*disk::real(), &record.join(ERASURE_FILE), &note.to_bytes())?)
    }
}
