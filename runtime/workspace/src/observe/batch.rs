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
    /// The notices that tell of an object, by its handle.
    of: HashMap<Box<[u8]>, Vec<usize>>,
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
        self.of.clear();
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
                if let Some(object) = notice.object {
                    let object = object.of(&self.bytes);
                    match self.of.get_mut(object) {
                        Some(all) => all.push(at),
                        None => drop(self.of.insert(object.into(), vec![at])),
                    }
                }
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

    /// The notices that tell of the object, with where they stand.
    fn of(&self, object: &[u8]) -> impl DoubleEndedIterator<Item = (usize, &Notice)> {
        let all = self.of.get(object).into_iter().flatten();
        all.filter_map(|at| Some((*at, self.notices.get(*at)?)))
    }

    /// Those of them that tell of a write.
    fn writes_to(&self, object: &[u8]) -> impl DoubleEndedIterator<Item = (usize, &Notice)> {
        self.of(object)
            .filter(|(_, one)| one.mask & (libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE) != 0)
    }

    /// Where those that tell that the process of notice `at` opened the object stand.
    fn opens_as(&self, at: usize, object: Span) -> impl Iterator<Item = usize> {
        let pid = self.notices.get(at).map(|notice| notice.pid);
        let opens = self.of(self.bytes(object));
        opens
            .filter(move |(_, one)| one.mask & libc::FAN_OPEN != 0 && Some(one.pid) == pid)
            .map(|(at, _)| at)
    }

    /// Whether a notice after `at` tells that the process of that one opened the object.
    pub(super) fn opened_later(&self, at: usize, object: Span) -> bool {
        self.opens_as(at, object).any(|open| open > at)
    }

    /// Whether the notice `at`, or one before it, tells that its process opened the object.
    pub(super) fn was_opened(&self, at: usize, object: Span) -> bool {
        self.opens_as(at, object).any(|open| open <= at)
    }

    /// The places at which notices after `at` tell that the object got a name.
    pub(super) fn links_after(&self, at: usize, object: &[u8]) -> Vec<Spot> {
        let later = self.of(object).filter(|(one, _)| *one > at);
        let made = later.filter(|(_, notice)| notice.mask & libc::FAN_CREATE != 0);
        made.filter_map(|(_, notice)| Some(self.spot(notice.place?))).collect()
    }

    /// The places to which the object came by notices after `at`.
    pub(super) fn arrivals_after(&self, at: usize, object: &[u8]) -> Vec<Spot> {
        let renamed = self.of(object).filter(|(one, _)| *one > at);
        let renamed = renamed.filter_map(|(_, notice)| Some(self.spot(notice.to?)));
        renamed.chain(self.links_after(at, object)).collect()
    }

    /// The places at which a notice tells that the object already had a name: something was done to it there.
    pub(super) fn names_of(&self, object: &[u8]) -> Vec<Spot> {
        let made = libc::FAN_CREATE | libc::FAN_RENAME;
        let used = self.of(object).filter(|(_, one)| one.mask != 0 && one.mask & made == 0);
        used.filter_map(|(_, notice)| Some(self.spot(notice.place?))).collect()
    }

    /// Whether what notices after `at` tell of its process and the object are writes alone; `None` if they tell of no close.
    pub(super) fn wrote_after(&self, at: usize, object: Span) -> Option<bool> {
        const CLOSE: u64 = libc::FAN_CLOSE_NOWRITE | libc::FAN_CLOSE_WRITE;
        let pid = self.notices.get(at)?.pid;
        let later =
            self.of(self.bytes(object)).filter(|(one, notice)| *one > at && notice.pid == pid);
        let all = later.fold(0, |all, (_, notice)| all | notice.mask);
        (all & CLOSE != 0).then_some(all & libc::FAN_CLOSE_NOWRITE == 0)
    }

    /// Whether a notice of another process than that of `at` tells that the object was open for writing.
    pub(super) fn others_write(&self, at: usize, object: Span) -> bool {
        self.writes_to(self.bytes(object)).any(|(_, one)| one.pid != self.notices[at].pid)
    }

    /// Whether a notice after `at` tells of a write to the object by another process than that of `at`, or by another name.
    pub(super) fn written_later_elsewhere(&self, at: usize, object: Span) -> bool {
        let Some(own) = self.notices.get(at) else { return false };
        let spot = |place: Option<Place>| place.map(|place| self.spot(place));
        let mut later = self.writes_to(self.bytes(object)).filter(|(one, _)| *one > at);
        later.any(|(_, one)| {
            let unnamed = one.place.is_some_and(|p| is_name_of_unnamed(p.name.of(&self.bytes)));
            one.pid != own.pid || (!unnamed && spot(one.place) != spot(own.place))
        })
    }

    /// Whether the notice `at` or one before it tells of a write to the object: the write may as well have been after it,
    /// because alike events count once.
    pub(super) fn written_before(&self, at: usize, object: Span) -> bool {
        self.writes.get(self.bytes(object)).is_some_and(|(first, _)| *first <= at)
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
        let mut all = self.of(self.bytes(object)).rev();
        all.find(|(_, one)| one.mask & libc::FAN_MODIFY != 0).map(|(_, one)| one.pid)
    }

    /// Where the object went from the place, by the last event that tells of it.
    pub(super) fn way_from(&self, object: &[u8], spot: &Spot) -> Option<(Spot, i32)> {
        let mut all = self.of(object).rev();
        let (_, notice) = all.find(|(_, notice)| {
            notice.to.is_some() && notice.place.is_some_and(|place| self.spot(place) == *spot)
        })?;
        Some((self.spot(notice.to?), notice.pid))
    }

    /// Who told last that the object came to a place or left one.
    pub(super) fn who_moved(&self, object: &[u8]) -> Option<i32> {
        const NAMES: u64 = libc::FAN_RENAME | libc::FAN_CREATE | libc::FAN_DELETE;
        self.of(object).rev().find(|(_, one)| one.mask & NAMES != 0).map(|(_, one)| one.pid)
    }
}

/// Whether overlayfs names a file without a name so: `#` and the number of the inode.
pub(super) fn is_name_of_unnamed(name: &[u8]) -> bool {
    matches!(name, [b'#', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
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
