//! Events that were read and not handled yet. Looking ahead in them tells what a look at the file system, which is
//! always later than the event, must not be taken for.

use std::collections::HashMap;

use nix::errno::Errno;

use super::group::Group;
use super::notice::{Malformed, Notice, Span, parse};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes of events that are read before the first of them is handled.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Why events can't be read.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the fanotify queue can't be read")]
    Kernel(#[source] Errno),
    #[error("the fanotify queue can't be understood")]
    Malformed(#[source] Malformed),
}

/// Events in the order of the kernel's queue.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    notices: Vec<Notice>,
    /// The last notice that tells of a write to the object, by its handle.
    writes: HashMap<Box<[u8]>, usize>,
}

impl Batch {
    /// Forgets everything; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.notices.clear();
        self.writes.clear();
    }

    /// Reads all that waits now. Returns the number of events.
    pub(super) fn pull(&mut self, group: &Group) -> Result<usize, ReadError> {
        let before = self.notices.len();
        while self.bytes.len() < MAX_BATCH_BYTES {
            let start = self.bytes.len();
            if group.read(&mut self.bytes, READ_BYTES).map_err(ReadError::Kernel)? == 0 {
                break;
            }
            let first = self.notices.len();
            parse(&self.bytes, start, &mut self.notices).map_err(ReadError::Malformed)?;
            for (at, notice) in self.notices.iter().enumerate().skip(first) {
                if notice.mask & (libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE) == 0 {
                    continue;
                }
                let Some(object) = notice.object else { continue };
                let object = object.of(&self.bytes);
                match self.writes.get_mut(object) {
                    Some(last) => *last = at,
                    None => {
                        self.writes.insert(object.into(), at);
                    }
                }
            }
        }
        Ok(self.notices.len() - before)
    }

    pub(super) fn notice(&self, at: usize) -> Option<Notice> {
        self.notices.get(at).copied()
    }

    /// The bytes of a part.
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.bytes)
    }

    /// Whether a notice after `at` tells of a write to the same object.
    pub(super) fn written_later(&self, at: usize, object: Span) -> bool {
        self.last_write(object).is_some_and(|last| last > at)
    }

    /// Whether the last write to the object is a later one, by another process than that of the notice `at`.
    pub(super) fn written_later_by_another(&self, at: usize, object: Span) -> bool {
        self.last_write(object)
            .is_some_and(|last| last > at && self.notices[last].pid != self.notices[at].pid)
    }

    fn last_write(&self, object: Span) -> Option<usize> {
        self.writes.get(self.bytes(object)).copied()
    }

    /// The other half of an exchange (`RENAME_EXCHANGE` is told as two renames in a row): taken out of the batch.
    /// `Err` if the process did nothing since that was read, so that it may still come.
    pub(super) fn take_reverse(&mut self, at: usize) -> Result<bool, StillToCome> {
        let first = self.notices[at];
        let (Some(from), Some(to)) = (first.place, first.to) else { return Ok(false) };
        let same = |a: Span, b: Span| a.of(&self.bytes) == b.of(&self.bytes);
        let next = (at + 1..self.notices.len()).find(|i| self.notices[*i].pid == first.pid);
        let Some(next) = next else { return Err(StillToCome) };
        let other = self.notices[next];
        let reverse = other.mask & libc::FAN_RENAME != 0
            && matches!((other.place, other.to), (Some(place), Some(back))
                if same(place.directory, to.directory)
                    && same(place.name, to.name)
                    && same(back.directory, from.directory)
                    && same(back.name, from.name))
            && !matches!((first.object, other.object), (Some(a), Some(b)) if same(a, b));
        if reverse {
            self.notices[next].mask = 0;
        }
        Ok(reverse)
    }
}

/// Nothing more of the process was read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StillToCome;
