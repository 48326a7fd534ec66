//! Events that were read and not handled yet. Looking ahead in them tells what a look at the file system, which is
//! always later than the event, must not be taken for.

use std::collections::HashMap;

use nix::errno::Errno;

use super::group::Group;
use super::moves::{Moves, Spot};
use super::notice::{Malformed, Notice, Place, Span, parse};

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Bytes of events that are read before the first of them is handled.
const MAX_BATCH_BYTES: usize = 8 << 20;

/// Events of others between the two of an exchange: the kernel queues them one after the other.
const MAX_BETWEEN: usize = 256;

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
    /// The first and the last notice that tell of a write to the object, by its handle.
    writes: HashMap<Box<[u8]>, (usize, usize)>,
    /// The last notice that tells that the object lost a name, by its handle.
    removals: HashMap<Box<[u8]>, usize>,
    pub(super) moves: Moves,
    /// Nothing was left in the kernel's queue when it was read last.
    pub(super) emptied: bool,
}

impl Batch {
    /// Forgets everything that events which are read from now on can't have merged with; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.notices.clear();
        if self.emptied {
            self.writes.clear();
            self.removals.clear();
            self.moves.clear();
        } else {
            self.writes.values_mut().for_each(|write| *write = (0, 0));
            self.removals.values_mut().for_each(|removal| *removal = 0);
            self.moves.carry_over();
        }
    }

    /// Reads all that waits now. Returns the number of events.
    pub(super) fn pull(&mut self, group: &Group) -> Result<usize, ReadError> {
        let before = self.notices.len();
        self.emptied = false;
        while self.bytes.len() < MAX_BATCH_BYTES {
            let start = self.bytes.len();
            if group.read(&mut self.bytes, READ_BYTES).map_err(ReadError::Kernel)? == 0 {
                self.emptied = true;
                break;
            }
            let first = self.notices.len();
            parse(&self.bytes, start, &mut self.notices).map_err(ReadError::Malformed)?;
            for (at, notice) in self.notices.iter().enumerate().skip(first) {
                if let (Some(object), Some(from), Some(to)) =
                    (notice.object, notice.place, notice.to)
                {
                    let spots = [from, to].map(|place| spot(&self.bytes, place));
                    self.moves.renamed(at, object.of(&self.bytes), spots);
                }
                if notice.mask & libc::FAN_DELETE != 0
                    && let Some(object) = notice.object
                {
                    self.removals.insert(object.of(&self.bytes).into(), at);
                }
                if notice.mask & (libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE) == 0 {
                    continue;
                }
                let Some(object) = notice.object else { continue };
                let object = object.of(&self.bytes);
                match self.writes.get_mut(object) {
                    Some((_, last)) => *last = at,
                    None => {
                        self.writes.insert(object.into(), (at, at));
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

    /// Whether the notice `at`, or one after it, tells that the object lost a name.
    pub(super) fn loses_a_name(&self, at: usize, object: Span) -> bool {
        self.removals.get(self.bytes(object)).is_some_and(|last| *last >= at)
    }

    /// Whether a notice after `at` tells of a write to the same object.
    pub(super) fn written_later(&self, at: usize, object: Span) -> bool {
        self.last_write(object).is_some_and(|last| last > at)
    }

    /// Whether a notice after `at` tells that the process of that one opened the object.
    pub(super) fn opened_later(&self, at: usize, object: Span) -> bool {
        let (handle, pid) = (self.bytes(object), self.notices.get(at).map(|notice| notice.pid));
        self.notices.iter().skip(at + 1).any(|notice| {
            notice.mask & libc::FAN_OPEN != 0
                && Some(notice.pid) == pid
                && notice.object.is_some_and(|o| self.bytes(o) == handle)
        })
    }

    /// The places at which notices after `at` tell that the object got a name.
    pub(super) fn links_after(&self, at: usize, object: &[u8]) -> Vec<Spot> {
        let later = self.notices.iter().skip(at + 1).filter(|notice| {
            notice.mask & libc::FAN_CREATE != 0
                && notice.object.is_some_and(|o| self.bytes(o) == object)
        });
        later.filter_map(|notice| Some(self.spot(notice.place?))).collect()
    }

    /// Whether the notice `at`, or one before it, tells that its process opened the object.
    pub(super) fn was_opened(&self, at: usize, object: Span) -> bool {
        let (handle, pid) = (self.bytes(object), self.notices.get(at).map(|notice| notice.pid));
        self.notices.iter().take(at + 1).rev().any(|notice| {
            notice.mask & libc::FAN_OPEN != 0
                && Some(notice.pid) == pid
                && notice.object.is_some_and(|o| self.bytes(o) == handle)
        })
    }

    /// Whether a notice of another process than that of `at` tells that the object was open for writing.
    pub(super) fn others_write(&self, at: usize, object: Span) -> bool {
        let handle = self.bytes(object);
        let Some((first, last)) = self.writes.get(handle) else { return false };
        let among = self.notices.get(*first..=(*last).min(self.notices.len() - 1));
        among.into_iter().flatten().any(|notice| {
            notice.mask & (libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE) != 0
                && notice.pid != self.notices[at].pid
                && notice.object.is_some_and(|o| self.bytes(o) == handle)
        })
    }

    /// Whether the last write to the object is a later one, by another process than that of the notice `at`.
    pub(super) fn written_later_by_another(&self, at: usize, object: Span) -> bool {
        self.last_write(object)
            .is_some_and(|last| last > at && self.notices[last].pid != self.notices[at].pid)
    }

    /// Whether the notice `at` or one before it tells of a write to the object: the write may as well have been after it,
    /// because alike events count once.
    pub(super) fn written_before(&self, at: usize, object: Span) -> bool {
        self.writes.get(self.bytes(object)).is_some_and(|(first, _)| *first <= at)
    }

    /// Whether a notice before `at` tells of a write to the same object.
    pub(super) fn written_earlier(&self, at: usize, object: Span) -> bool {
        self.writes.get(self.bytes(object)).is_some_and(|(first, _)| *first < at)
    }

    fn last_write(&self, object: Span) -> Option<usize> {
        self.writes.get(self.bytes(object)).map(|(_, last)| *last)
    }

    /// A place that can be kept.
    pub(super) fn spot(&self, place: Place) -> Spot {
        spot(&self.bytes, place)
    }

    /// The other half of an exchange (`RENAME_EXCHANGE` is told as two renames): taken out of the batch. `None` if it wasn't
    /// read yet and nothing that was tells what stands where this object stood.
    pub(super) fn take_reverse(&mut self, at: usize) -> Option<Reverse> {
        let first = self.notices[at];
        let (Some(from), Some(to)) = (first.place, first.to) else { return Some(Reverse::No) };
        let (from, to) = (self.spot(from), self.spot(to));
        let bytes = &self.bytes;
        let is = |place: Option<Place>, at: &Spot| {
            place.is_some_and(|p| {
                *p.directory.of(bytes) == *at.directory && *p.name.of(bytes) == *at.name
            })
        };
        let other = |notice: &Notice| match (first.object, notice.object) {
            (Some(a), Some(b)) => a.of(bytes) != b.of(bytes),
            (None, _) | (_, None) => true,
        };
        let end = self.notices.len().min(at + 1 + MAX_BETWEEN);
        for next in at + 1..end {
            let notice = &self.notices[next];
            let renamed = notice.mask & libc::FAN_RENAME != 0;
            let made = notice.mask & libc::FAN_CREATE != 0;
            if renamed && is(notice.place, &to) && is(notice.to, &from) && other(notice) {
                // If it came to where it leaves only later, what stood there was replaced.
                if notice.pid != first.pid {
                    return Some(Reverse::No);
                }
                let object = notice.object.map(|o| o.of(bytes).into());
                self.notices[next].mask = 0;
                return Some(Reverse::Of(object));
            }
            let arrives =
                |at: &Spot| (renamed && is(notice.to, at)) || (made && is(notice.place, at));
            if arrives(&to) || arrives(&from) || (renamed && is(notice.place, &to)) {
                return Some(Reverse::No);
            }
        }
        (end < self.notices.len()).then_some(Reverse::No)
    }
}

impl Batch {
    /// The other object of an exchange whose other half is an older notice: alike events count once.
    pub(super) fn merged_reverse(&self, at: usize) -> Option<Box<[u8]>> {
        let first = self.notices[at];
        let (from, to) = (self.spot(first.place?), self.spot(first.to?));
        // Else nothing that came there by an event of this batch can have gone back.
        self.moves.occupant(&to, first.object.map_or(&[][..], |own| self.bytes(own)))?;
        let reverse = self.notices[..at].iter().find(|notice| {
            let place = |place: Option<Place>| place.map(|place| self.spot(place));
            notice.pid == first.pid
                && place(notice.to).as_ref() == Some(&from)
                && place(notice.place).as_ref() == Some(&to)
        })?;
        let object = self.bytes(reverse.object?);
        let other = first.object.is_none_or(|own| self.bytes(own) != object);
        (other && !self.moves.has_left(object, &to)).then(|| object.into())
    }

    /// Whether an event after `at` takes the object away from the place, or puts another one there.
    pub(super) fn leaves_later(&self, at: usize, object: &[u8], spot: &Spot) -> bool {
        let is = |place: Option<Place>| {
            place.is_some_and(|p| {
                *p.directory.of(&self.bytes) == *spot.directory
                    && *p.name.of(&self.bytes) == *spot.name
            })
        };
        self.notices.iter().skip(at + 1).any(|notice| {
            let same = notice.object.is_some_and(|o| self.bytes(o) == object);
            let renamed = notice.mask & libc::FAN_RENAME != 0;
            let removed = notice.mask & libc::FAN_DELETE != 0;
            (same && (renamed || removed) && is(notice.place)) || (renamed && is(notice.to))
        })
    }

    /// Who wrote to the object last, as far as it was read.
    pub(super) fn writer(&self, object: Span) -> Option<i32> {
        let handle = self.bytes(object);
        let wrote = |notice: &&Notice| {
            notice.mask & libc::FAN_MODIFY != 0
                && notice.object.is_some_and(|o| self.bytes(o) == handle)
        };
        let (first, last) = *self.writes.get(handle)?;
        let among = self.notices.get(first..=last.min(self.notices.len().checked_sub(1)?))?;
        among.iter().rev().find(wrote).map(|notice| notice.pid)
    }

    /// Where the object went from the place, by the last event that tells of it.
    pub(super) fn way_from(&self, object: &[u8], spot: &Spot) -> Option<(Spot, i32)> {
        let left = |notice: &&Notice| {
            notice.to.is_some()
                && notice.object.is_some_and(|o| self.bytes(o) == object)
                && notice.place.is_some_and(|place| self.spot(place) == *spot)
        };
        let notice = self.notices.iter().rev().find(left)?;
        Some((self.spot(notice.to?), notice.pid))
    }

    /// Who told last that the object came to a place or left one.
    pub(super) fn who_moved(&self, object: &[u8]) -> Option<i32> {
        const NAMES: u64 = libc::FAN_RENAME | libc::FAN_CREATE | libc::FAN_DELETE;
        let moves = |notice: &&Notice| {
            notice.mask & NAMES != 0 && notice.object.is_some_and(|o| self.bytes(o) == object)
        };
        self.notices.iter().rev().find(moves).map(|notice| notice.pid)
    }
}

fn spot(bytes: &[u8], place: Place) -> Spot {
    Spot { directory: place.directory.of(bytes).into(), name: place.name.of(bytes).into() }
}

/// Whether a rename is half of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reverse {
    /// It is a plain rename.
    No,
    /// This object came to where the other one was.
    Of(Option<Box<[u8]>>),
}
