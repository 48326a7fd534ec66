//! Checks of what only a sealed record has: checkpoint, tiles and attestation.

use std::fs;
use std::io;

use super::Check;
use super::report::{Code, Finding};
use super::scan::Scan;
use crate::canonical;
use crate::seal::{DsseError, Envelope, LogReference, MAX_ENVELOPE_BYTES, SEAL_FILE, Statement};
use crate::standing::read_limited;
use crate::tlog::{Checkpoint, MAX_NOTE_BYTES, Note, NoteError, Term};

/// The checkpoint of a sealed record, with its bytes.
pub(super) struct SealedHead {
    pub(super) size: u64,
    checkpoint: Checkpoint,
    bytes: Vec<u8>,
}

impl Check<'_> {
    fn at_checkpoint(&mut self, code: Code, what: impl Into<String>) {
        self.findings.push(Finding::new(code, what).file("checkpoint"));
    }

    fn at_seal(&mut self, code: Code, what: impl Into<String>) {
        self.findings.push(Finding::new(code, what).file(SEAL_FILE));
    }

    /// Reads the checkpoint and the tiles of the size that it says.
    pub(super) fn read_sealed(&mut self) -> Option<SealedHead> {
        let bytes = match read_limited(&self.dir.join("checkpoint"), MAX_NOTE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.at_checkpoint(Code::CheckpointMissing, "there are tiles and no checkpoint");
                return None;
            }
            Err(error) => {
                self.at_checkpoint(Code::Unreadable, error.to_string());
                return None;
            }
        };
        let parsed = Note::parse(&bytes).map_err(|e| e.to_string()).and_then(|note| {
            Ok((Checkpoint::parse(note.text()).map_err(|e| e.to_string())?, note))
        });
        let (checkpoint, note) = match parsed {
            Ok(parsed) => parsed,
            Err(what) => {
                self.at_checkpoint(Code::CheckpointMalformed, what);
                return None;
            }
        };
        if note.to_bytes() != bytes {
            self.at_checkpoint(
                Code::CheckpointMalformed,
                "the note is not in the form in which it was written",
            );
        }
        if let Some(verifier) = &self.verifier {
            match note.signer(&verifier.named(&checkpoint.origin)) {
                Ok((_, term)) => self.terms.push(term),
                Err(error @ NoteError::UnknownKey(_)) => {
                    self.at_checkpoint(Code::CheckpointKeyUnknown, error.to_string());
                }
                Err(error) => self.at_checkpoint(Code::CheckpointSignature, error.to_string()),
            }
        }
        // A forged size must not make us look for files without end: no more than there can be.
        let most = self.most_events();
        if checkpoint.size > most {
            let what = format!(
                "the checkpoint says {} events, and the tiles hold {most} at most",
                checkpoint.size
            );
            self.findings.push(Finding::new(Code::LogTruncated, what).seq(most));
        }
        self.scan = Scan::tiles(self.dir, checkpoint.size.min(most));
        Some(SealedHead { size: checkpoint.size.min(most), checkpoint, bytes })
    }

    /// An upper bound for the number of events, from the number of bundle files.
    fn most_events(&self) -> u64 {
        let mut files = 0_u64;
        let mut stack = vec![self.dir.join("tile/entries")];
        while let Some(dir) = stack.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    stack.push(entry.path());
                } else {
                    files += 1;
                }
            }
        }
        // One bundle more than there are, so that a missing last one is found as missing.
        (files + 1) * crate::tlog::ENTRIES_PER_BUNDLE
    }

    /// Compares checkpoint and attestation with the events.
    pub(super) fn check_head(&mut self, head: &SealedHead) {
        let root = self.scan.root_at(head.checkpoint.size);
        if root != Some(head.checkpoint.root) {
            let what = "the events do not give the root that the checkpoint says";
            self.at_checkpoint(Code::RootMismatch, what);
        }
        if let (Some(verifier), Some(shared)) = (&self.verifier, self.scan.shared()) {
            let wanted = verifier.session_origin(shared.session);
            if head.checkpoint.origin != wanted {
                let what = format!(
                    "the checkpoint is of the log {}, not of {wanted}",
                    head.checkpoint.origin
                );
                self.at_checkpoint(Code::CheckpointMalformed, what);
            }
        }
        self.check_seal(head);
    }

    fn check_seal(&mut self, head: &SealedHead) {
        let bytes = match read_limited(&self.dir.join(SEAL_FILE), MAX_ENVELOPE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.at_seal(Code::SealMissing, "the record has no seal");
                return;
            }
            Err(error) => {
                self.at_seal(Code::Unreadable, error.to_string());
                return;
            }
        };
        let envelope = match Envelope::parse(&bytes) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.at_seal(Code::SealMalformed, error.to_string());
                return;
            }
        };
        let Some(verifier) = &self.verifier else { return };
        let payload = match envelope.opened(verifier) {
            Ok((payload, key, term)) => {
                self.signer = Some(key);
                self.terms.push(term);
                payload
            }
            Err(error @ DsseError::UnknownKey(_)) => {
                self.at_seal(Code::SealKeyUnknown, error.to_string());
                return;
            }
            Err(error @ DsseError::BadSignature(_)) => {
                self.at_seal(Code::SealSignature, error.to_string());
                return;
            }
            Err(error) => {
                self.at_seal(Code::SealMalformed, error.to_string());
                return;
            }
        };
        let statement = serde_json::from_slice::<Statement>(&payload).ok();
        let statement =
            statement.filter(|s| canonical::to_vec(s).is_ok_and(|bytes| bytes == payload));
        let Some(statement) = statement else {
            self.at_seal(Code::SealMalformed, "the payload is no statement of an agent session");
            return;
        };
        let log = LogReference {
            origin: head.checkpoint.origin.clone(),
            size: head.checkpoint.size,
            root: self.scan.root(),
        };
        if (statement.predicate.log.size, statement.predicate.log.root) != (log.size, log.root) {
            let said = &statement.predicate.log;
            let what = format!("the seal names {} events with the root {}", said.size, said.root);
            self.at_seal(Code::SealNamesAnotherRoot, what);
        } else {
            let position = statement.predicate.installation_log.clone();
            let says = self.summary.as_ref().is_some_and(|summary| {
                summary.is_told_by(&statement, &log, position.as_ref(), &head.bytes)
            });
            if !says {
                self.at_seal(Code::SealDiffers, "the seal says something else than the events");
            }
        }
        self.position = statement.predicate.installation_log;
        let size = self.position.as_ref().map(|position| position.size);
        let in_force = |term: &Term| match size {
            Some(size) => term.covers_log(size),
            None => term.is_unbounded(),
        };
        if !self.terms.iter().all(in_force) {
            let what = "the key that signed it was not in force when the record was sealed";
            self.at_seal(Code::KeyOutOfTerm, what);
        }
    }
}
