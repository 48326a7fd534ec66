//! What a witness remembers: of each log the newest head that it cosigned, durable before anybody is told.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use custody_model::Digest;

use super::request::{AddCheckpoint, RequestError};
use crate::disk;
use crate::durable;
use crate::tlog::{
    Checkpoint, CheckpointError, Note, NoteError, ProofError, Verifier, WitnessKey,
    verify_consistency,
};

/// Why a witness does not cosign. Each has its status in the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// 400: the body.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// 400: the checkpoint in it.
    #[error("the checkpoint is malformed")]
    Checkpoint(#[source] CheckpointError),
    /// 400: it asks to go back.
    #[error("the old size {old} is above the checkpoint's, {size}")]
    Backwards {
        /// As asked.
        old: u64,
        /// Of the checkpoint.
        size: u64,
    },
    /// 404: a log that it was not told of.
    #[error("the log {0:?} is not known here")]
    UnknownLog(String),
    /// 403: the log did not sign it.
    #[error("the log did not sign the checkpoint")]
    Signature(#[source] NoteError),
    /// 409: it cosigned another size last. The answer is the size.
    #[error("the head that was cosigned last has {size} entries")]
    Conflict {
        /// Of that head.
        size: u64,
    },
    /// 422: the log has forked, or the proof is wrong.
    #[error("the checkpoint does not go on from the head that was cosigned last")]
    Inconsistent(#[source] ProofError),
    /// 500: the head can't be remembered, so nothing is cosigned.
    #[error("the witness can't remember what it would cosign")]
    Io(#[from] LedgerError),
}

impl Refusal {
    /// HTTP status (C2SP tlog-witness v1.0.0).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Request(_) | Self::Checkpoint(_) | Self::Backwards { .. } => 400,
            Self::Signature(_) => 403,
            Self::UnknownLog(_) => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent(_) => 422,
            Self::Io(_) => 500,
        }
    }
}

/// Why the ledger can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file or directory.
    #[error("the witness's state in {path} can't be used")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another witness has it open: two would not agree on what they cosigned.
    #[error("another witness uses the state in {0}")]
    Taken(PathBuf),
    /// What is remembered is no checkpoint. Going on from nothing would let a log roll back: nothing is cosigned.
    #[error("what the witness remembers in {path} is damaged")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: CheckpointError,
    },
}

/// A witness's memory. One process has it open at a time.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    key: WitnessKey,
    logs: Vec<Verifier>,
    /// Looking at a head, and replacing it, is one step.
    step: Mutex<()>,
    _lock: File,
}

impl Ledger {
    /// Opens the memory in `dir`, which is made if it is absent. `logs` are the keys of the logs that it witnesses, each under
    /// the log's origin as its name.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub fn open(dir: &Path, key: WitnessKey, logs: Vec<Verifier>) -> Result<Self, LedgerError> {
        let io = |source| LedgerError::Io { path: dir.to_owned(), source };
        durable::make_dir(&*disk::real(), dir).map_err(io)?;
        let lock = File::create(dir.join(".lock")).map_err(io)?;
        // SAFETY: flock takes any open descriptor, and this one is open; closing it releases the lock.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(LedgerError::Taken(dir.to_owned()));
        }
        let ledger = Self { dir: dir.to_owned(), key, logs, step: Mutex::new(()), _lock: lock };
        for log in &ledger.logs {
            ledger.newest(log.name())?;
        }
        Ok(ledger)
    }

    /// The witness's key.
    #[must_use]
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// The logs that it witnesses.
    #[must_use]
    pub fn logs(&self) -> &[Verifier] {
        &self.logs
    }

    fn path(&self, origin_hash: &str) -> PathBuf {
        self.dir.join(origin_hash)
    }

    /// The note and the head that were cosigned last for a log.
    fn newest(&self, origin: &str) -> Result<Option<Checkpoint>, LedgerError> {
        let path = self.path(Digest::of(origin.as_bytes()).hex().as_str());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LedgerError::Io { path, source }),
        };
        Checkpoint::peek(&bytes).map(Some).map_err(|source| LedgerError::Damaged { path, source })
    }

    /// `add-checkpoint`: checks the body, remembers the head durably, and returns the signature line. `time`: seconds since
    /// 1970.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was cosigned then.
    pub fn add(&self, body: &[u8], time: u64) -> Result<String, Refusal> {
        let asked = AddCheckpoint::parse(body)?;
        let mut note =
            Note::parse(&asked.checkpoint).map_err(|error| Refusal::Checkpoint(error.into()))?;
        let head = Checkpoint::parse(note.text()).map_err(Refusal::Checkpoint)?;
        let known = self.logs.iter().filter(|log| log.name() == head.origin);
        let mut outcome = Err(Refusal::UnknownLog(head.origin.clone()));
        let mut signers = Vec::new();
        for log in known {
            match note.verify(log) {
                Ok(_) => signers.push(log),
                Err(NoteError::UnknownKey(_)) if !signers.is_empty() => {}
                Err(error) => outcome = Err(Refusal::Signature(error)),
            }
            if matches!(&outcome, Err(Refusal::Signature(NoteError::BadSignature(_)))) {
                return outcome;
            }
        }
        if signers.is_empty() {
            return outcome;
        }
        if asked.old > head.size {
            return Err(Refusal::Backwards { old: asked.old, size: head.size });
        }
        let _step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.newest(&head.origin)?;
        let size = before.as_ref().map_or(0, |before| before.size);
        if asked.old != size {
            return Err(Refusal::Conflict { size });
        }
        let consistent = match &before {
            _ if head.size == 0 && head.root != Digest::of(&[]) => Err(ProofError::Root),
            Some(before) if size > 0 => {
                verify_consistency((size, before.root), (head.size, head.root), &asked.proof)
            }
            Some(_) | None if asked.proof.is_empty() => Ok(()),
            Some(_) | None => Err(ProofError::Length),
        };
        if let Err(error) = consistent {
            self.keep_refused(&head, &asked.checkpoint);
            return Err(Refusal::Inconsistent(error));
        }
        let signature = self.key.cosign(&note, time);
        let line = signature.line();
        // What is kept is the head as this witness checked it: the log's own lines and this one.
        let mut kept = Note::unsigned(&note);
        for signer in signers {
            note.signatures()
                .iter()
                .filter(|line| line.name == signer.name() && line.hash == signer.hash())
                .for_each(|line| kept.add(line.clone()));
        }
        kept.add(signature);
        note = kept;
        let path = self.path(Digest::of(head.origin.as_bytes()).hex().as_str());
        durable::replace(&*disk::real(), &path, &note.to_bytes())
            .map_err(|source| LedgerError::Io { path, source })?;
        Ok(line)
    }

    /// A head that the log signed and that does not go on from what was cosigned is proof of a fork: the last one is kept.
    /// That it could not be kept changes nothing about the refusal.
    fn keep_refused(&self, head: &Checkpoint, note: &[u8]) {
        let name = format!("{}.refused", Digest::of(head.origin.as_bytes()).hex());
        drop(durable::replace(&*disk::real(), &self.dir.join(name), note));
    }

    /// The newest head that was cosigned for a log, by the SHA-256 of its origin in lower-case hex, with the log's signature
    /// and the cosignature. `None` if there is none.
    ///
    /// # Errors
    /// [`LedgerError::Io`].
    pub fn checkpoint(&self, origin_hash: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        let known = |log: &Verifier| Digest::of(log.name().as_bytes()).hex() == origin_hash;
        if !self.logs.iter().any(known) {
            return Ok(None);
        }
        let path = self.path(origin_hash);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LedgerError::Io { path, source }),
        }
    }
}
