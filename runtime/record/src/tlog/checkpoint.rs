//! Heads of logs: C2SP tlog-checkpoint v1.0.0.
//!
//! The note's text is the origin, the tree size in decimal and the root in base64, each on a line; then any
//! extension lines, of which we write none. The key's name is the origin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::Digest;

use super::key::{Keys, Verifier};
use super::note::{Note, NoteError};

/// Why a checkpoint is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it.
    #[error("the checkpoint is not a note that the key signed")]
    Note(#[from] NoteError),
    /// The note's text.
    #[error("the checkpoint is malformed: {0}")]
    Malformed(&'static str),
    /// Of another log.
    #[error("the checkpoint is one of the log {found}, not of {wanted}")]
    Origin {
        /// In the checkpoint.
        found: String,
        /// The log that it should be of.
        wanted: String,
    },
    /// By a key that was not in force at that size.
    #[error("the key {key} was not in force when the log {origin} had {size} entries")]
    OutOfTerm {
        /// Name and hash of the key.
        key: String,
        /// The log.
        origin: String,
        /// The size of the head.
        size: u64,
    },
}

/// A log's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The note's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, keys: &Keys) -> Vec<u8> {
        Note::sign(&self.text(), keys, &self.origin).to_bytes()
    }

    /// Parses the text of a note.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines =
            text.strip_suffix('\n').ok_or(CheckpointError::Malformed("no newline"))?.split('\n');
        let mut line =
            |what| lines.next().filter(|l| !l.is_empty()).ok_or(CheckpointError::Malformed(what));
        let origin = line("no origin")?.to_owned();
        let digits = line("no size")?;
        let root = line("no root")?;
        if lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed("an empty extension line"));
        }
        let size: u64 = digits.parse().map_err(|_| CheckpointError::Malformed("the size"))?;
        if size.to_string() != digits {
            return Err(CheckpointError::Malformed("the size"));
        }
        let root = STANDARD.decode(root).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = Digest::from_bytes(root.ok_or(CheckpointError::Malformed("the root"))?);
        Ok(Self { origin, size, root })
    }

    /// What a signed note says, with no signature checked: for showing, and for finding the key to check with.
    ///
    /// # Errors
    /// [`CheckpointError::Note`], [`CheckpointError::Malformed`].
    pub fn peek(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Self::parse(Note::parse(bytes)?.text())
    }

    /// Parses a signed note and checks origin and signature, and, for the installation's own logs, that the key was in
    /// force at that size.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(bytes: &[u8], origin: &str, verifier: &Verifier) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::Origin {
                found: checkpoint.origin,
                wanted: origin.to_owned(),
            });
        }
        let (key, term) = note.signer(&verifier.named(origin))?;
        let size = checkpoint.size;
        let in_force = if origin == verifier.log_origin() {
            term.covers_log(size)
        } else if origin == verifier.control_origin() {
            term.covers_control(size)
        } else {
            true
        };
        if in_force {
            Ok(checkpoint)
        } else {
            Err(CheckpointError::OutOfTerm { key: key.id(), origin: origin.to_owned(), size })
        }
    }
}
