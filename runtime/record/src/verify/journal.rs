//! Reading the journal of a record that is not sealed.

use std::fs::{File, TryLockError};
use std::io::BufReader;

use custody_model::SessionId;

use super::scan::Chunk;
use super::{Check, Code, Finding};
use crate::journal::frame::FrameReader;
use crate::journal::{FrameError, JOURNAL_FILE, JournalHeader};
use crate::tlog::ENTRIES_PER_BUNDLE;

impl Check<'_> {
    pub(super) fn read_journal(&mut self) -> Option<SessionId> {
        let file = match File::open(self.dir.join(JOURNAL_FILE)) {
            Ok(file) => file,
            Err(error) => {
                self.findings
                    .push(Finding::new(Code::Unreadable, error.to_string()).file(JOURNAL_FILE));
                return None;
            }
        };
        let mut header = None;
        let input = BufReader::with_capacity(1 << 20, &file);
        let result = FrameReader::new(input).and_then(|mut frames| {
            let offset = frames.offset();
            let first = frames.next()?.ok_or(FrameError::Cut { offset })?;
            header = JournalHeader::parse(first);
            loop {
                let start = self.scan.entries();
                let mut payloads = Vec::new();
                let mut torn = None;
                while (payloads.len() as u64) < ENTRIES_PER_BUNDLE {
                    let offset = frames.offset();
                    match frames.next() {
                        Ok(Some(payload)) => payloads.push((offset, payload.to_vec())),
                        Ok(None) => break,
                        Err(error) => {
                            torn = Some(error);
                            break;
                        }
                    }
                }
                let entries: Vec<(u64, &[u8])> =
                    payloads.iter().map(|(at, p)| (*at, p.as_slice())).collect();
                let mut chunk = Chunk::read(start, JOURNAL_FILE, &entries, None);
                self.scan.findings.append(&mut chunk.findings);
                let last = (entries.len() as u64) < ENTRIES_PER_BUNDLE;
                self.scan.chunks.push(chunk);
                match torn {
                    Some(error) => return Err(error),
                    None if last => return Ok(()),
                    None => {}
                }
            }
        });
        let torn = matches!(result, Err(FrameError::Cut { .. }));
        match result {
            Ok(()) => {}
            Err(FrameError::Cut { .. }) if is_being_written(&file) => {}
            Err(error @ FrameError::Cut { offset }) => {
                let seq = self.scan.entries();
                let finding = Finding::new(Code::JournalTorn, error.to_string()).file(JOURNAL_FILE);
                self.findings.push(finding.offset(offset).seq(seq));
            }
            Err(error @ FrameError::Damaged { offset, .. }) => {
                let seq = self.scan.entries();
                let finding =
                    Finding::new(Code::JournalDamaged, error.to_string()).file(JOURNAL_FILE);
                self.findings.push(finding.offset(offset).seq(seq));
            }
            Err(FrameError::Io(error)) => {
                self.findings
                    .push(Finding::new(Code::Unreadable, error.to_string()).file(JOURNAL_FILE));
            }
        }
        match (&header, self.scan.shared()) {
            // Torn before its header was durable: nothing was recorded.
            (None, _) if torn => {}
            (None, _) => {
                let finding = Finding::new(Code::JournalDamaged, "the journal has no header")
                    .file(JOURNAL_FILE);
                self.findings.push(finding);
            }
            (Some(header), Some(shared))
                if header.session != shared.session
                    || header.policy != shared.policy
                    || header.on_behalf_of != shared.on_behalf_of =>
            {
                let what = "the journal's header is of another session, policy or requester than its events";
                self.findings
                    .push(Finding::new(Code::EventForeign, what).file(JOURNAL_FILE).seq(0));
            }
            (Some(_), _) => {}
        }
        header.map(|h| h.session)
    }
}

/// Whether the writer of a journal lives: it holds a lock on the file. Then a frame at its end is not torn, but on its way.
fn is_being_written(journal: &File) -> bool {
    match journal.try_lock_shared() {
        Ok(()) => {
            // It goes with the descriptor at the latest.
            let _unlocked = journal.unlock();
            false
        }
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
    }
}
