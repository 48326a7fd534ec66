//! Checks of what only the record of a session that lives has: the signed head that is shown of it.

use std::io;

use super::Check;
use super::report::{Code, Finding};
use crate::living::LIVING_CHECKPOINT;
use crate::standing::read_limited;
use crate::tlog::{Checkpoint, MAX_NOTE_BYTES, Note, NoteError};

impl Check<'_> {
    fn at_living(&mut self, code: Code, what: impl Into<String>) {
        self.findings.push(Finding::new(code, what).file(LIVING_CHECKPOINT));
    }

    /// Reads the head. To be called before the journal is read, which goes on meanwhile.
    pub(super) fn read_living(&mut self) -> Option<(Checkpoint, Note)> {
        let bytes = match read_limited(&self.dir.join(LIVING_CHECKPOINT), MAX_NOTE_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.at_living(Code::Unreadable, error.to_string());
                return None;
            }
        };
        let parsed = Note::parse(&bytes).map_err(|error| error.to_string()).and_then(|note| {
            let head = Checkpoint::parse(note.text()).map_err(|error| error.to_string())?;
            Ok((head, note))
        });
        parsed.map_err(|what| self.at_living(Code::CheckpointMalformed, what)).ok()
    }

    /// Compares the head with the events that were read.
    pub(super) fn check_living(&mut self, head: &Checkpoint, note: &Note) {
        let Some(verifier) = self.verifier.clone() else { return };
        match note.signer(&verifier.named(&head.origin)) {
            Ok(_) => {}
            Err(error @ NoteError::UnknownKey(_)) => {
                self.at_living(Code::CheckpointKeyUnknown, error.to_string());
            }
            Err(error) => self.at_living(Code::CheckpointSignature, error.to_string()),
        }
        let wanted = self.scan.shared().map(|shared| verifier.session_origin(shared.session));
        if wanted.as_ref().is_some_and(|wanted| *wanted != head.origin) {
            self.at_living(Code::CheckpointMalformed, format!("it is of the log {}", head.origin));
        }
        let total = self.scan.entries();
        if head.size > total {
            let what = format!("it says {} events, and {total} are there", head.size);
            let finding = Finding::new(Code::LogTruncated, what).file(LIVING_CHECKPOINT);
            self.findings.push(finding.seq(total));
        } else if self.scan.root_at(head.size) != Some(head.root) {
            self.at_living(Code::RootMismatch, "the events do not give the root that it says");
        }
    }
}
