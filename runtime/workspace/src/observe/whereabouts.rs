//! Where things are: the path of a directory's handle at the moment of an event, and, once a batch of events was handled,
//! a look at each name that something came to and left. The kernel counts alike events once, so that the events alone
//! don't tell where an object that came back to a place is in the end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{FileKind, FileLinked, FileRead};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::UNKNOWN_PID;
use super::batch::Batch;
use super::directories::Id;
use super::engine::{Engine, written};
use super::group::{handle_of, open_handle, path_below, stat};
use super::moves::Spot;
use super::notice::{Notice, Place};
use crate::content::path_beneath;

/// How often the queue is looked at for the event that explains what was found: the kernel is about to queue it.
const MAX_LOOKS: u32 = 200;

/// Directories above one that was met for the first time that are looked up with it.
const MAX_LEARNT: u32 = 512;

/// An object that does not stand where the events tell.
#[derive(Debug)]
struct Wrong {
    object: Box<[u8]>,
    spot: Spot,
    /// It stands there; the events tell that it doesn't.
    stands: bool,
}

impl Engine {
    /// Where the place was when event `at` happened.
    pub(super) fn path(
        &mut self,
        batch: &mut Batch,
        at: usize,
        place: Place,
    ) -> Option<WorkspacePath> {
        let spot = batch.spot(place);
        let id = self.directory_id(batch, at, &spot.directory, MAX_LEARNT)?;
        self.path_at(id, &spot.name)
    }

    fn path_at(&self, id: Id, name: &[u8]) -> Option<WorkspacePath> {
        let directory = self.directories.path(id)?;
        match name {
            b"" | b"." => Some(directory),
            name => directory.join(name).ok(),
        }
    }

    /// The path of a place, as far as the events that were handled tell.
    pub(super) fn path_of_spot(&self, spot: &Spot) -> Option<WorkspacePath> {
        self.path_at(self.directories.id(&spot.directory)?, &spot.name)
    }

    /// The directory with this handle. One that was never met is looked up: if it was renamed since the event, the event
    /// on that tells where it had been.
    pub(super) fn directory_id(
        &mut self,
        batch: &mut Batch,
        at: usize,
        handle: &[u8],
        left: u32,
    ) -> Option<Id> {
        if let Some(id) = self.directories.id(handle) {
            return Some(id);
        }
        self.directories.make_room(self.root.as_fd());
        let left = left.checked_sub(1)?;
        let before = |batch: &Batch| {
            let renamed = batch.notice(batch.moves.next(handle, at)?)?;
            Some(batch.spot(renamed.place?))
        };
        let spot = match before(batch) {
            Some(spot) => spot,
            None => {
                let found = look_up(self.root(), handle);
                self.pull(batch);
                before(batch).or(found)?
            }
        };
        let parent = self.directory_id(batch, at, &spot.directory, left)?;
        Some(self.directories.stands(handle, parent, &spot.name))
    }

    /// Puts the directories that were looked up before the first event was read to where they were before the renames that it
    /// tells of.
    pub(super) fn rewind(&mut self, batch: &mut Batch) {
        for (object, at) in batch.moves.first() {
            let Some(from) = batch.notice(at).and_then(|renamed| renamed.place) else { continue };
            let spot = batch.spot(from);
            if self.directories.id(&object).is_some()
                && let Some(parent) = self.directory_id(batch, at, &spot.directory, MAX_LEARNT)
            {
                self.directories.stands(&object, parent, &spot.name);
            }
        }
    }

    /// Whether the directory of the event, or one above it, may have been elsewhere when the event happened.
    pub(super) fn is_doubtful(&mut self, batch: &mut Batch, at: usize, notice: Notice) -> bool {
        if !batch.moves.any() {
            return false;
        }
        let mut places = notice.place.into_iter().chain(notice.to);
        places.any(|place| self.is_below_wanderer(batch, at, place, notice.mask))
    }

    fn is_below_wanderer(&mut self, batch: &mut Batch, at: usize, place: Place, mask: u64) -> bool {
        let directory = batch.spot(place).directory;
        let Some(id) = self.directory_id(batch, at, &directory, MAX_LEARNT) else { return false };
        let merged = is_of_several_moments(mask);
        self.directories.handles(id).any(|above| {
            batch.moves.wanders(above, at) || (merged && batch.moves.next(above, at).is_some())
        })
    }

    /// Whether the object of event `at`, or a directory that it is in, was renamed after it.
    pub(super) fn moves_on(&self, batch: &Batch, at: usize, notice: Notice) -> bool {
        let moves = &batch.moves;
        if !moves.any() {
            return false;
        }
        notice.object.is_some_and(|o| moves.next(batch.bytes(o), at).is_some())
            || self.is_carried_on(batch, at, notice)
    }

    /// Whether a directory above the place of event `at` was renamed after it.
    pub(super) fn is_carried_on(&self, batch: &Batch, at: usize, notice: Notice) -> bool {
        let place = notice.place.filter(|_| batch.moves.any());
        let place = place.and_then(|p| self.directories.id(batch.bytes(p.directory)));
        place.is_some_and(|id| {
            self.directories.handles(id).any(|above| batch.moves.next(above, at).is_some())
        })
    }

    /// Something left its place.
    pub(super) fn departs(&self, batch: &mut Batch, notice: Notice) {
        if let (Some(object), Some(place)) = (notice.object, notice.place) {
            let (object, spot) = (Box::<[u8]>::from(batch.bytes(object)), batch.spot(place));
            batch.moves.departed(&object, spot);
        }
    }

    /// Something came to its place.
    pub(super) fn arrives(&self, batch: &mut Batch, notice: Notice) {
        if let (Some(object), Some(place)) = (notice.object, notice.to.or(notice.place)) {
            let (object, spot) = (Box::<[u8]>::from(batch.bytes(object)), batch.spot(place));
            batch.moves.arrived(&object, spot);
        }
    }

    /// Looks whether what came and went stands where the events tell, and makes it so if it does not: the events that
    /// would have told merged with others. `false` if there are new events to handle first; `last` doesn't wait for them.
    pub(super) fn names_hold(&mut self, batch: &mut Batch, last: bool) -> bool {
        // What waits may tell of it; what is to be looked up is kept for the batch after this.
        if self.is_broken() || !batch.emptied {
            return true;
        }
        let mut wrong = self.wrong(batch);
        if wrong.is_empty() {
            return self.directories_hold(batch) || last;
        }
        for _ in 0..MAX_LOOKS {
            if self.pull(batch) > 0 && !last {
                return false;
            }
            std::thread::yield_now();
        }
        wrong.retain(|w| self.stands_at(&w.spot, &w.object) == w.stands);
        if self.pull(batch) > 0 && !last {
            return false;
        }
        self.doubtful = true;
        self.correct(batch, wrong);
        self.doubtful = false;
        self.directories_hold(batch) || last
    }

    /// Looks where each directory is whose renames don't tell it, so that no later path is told by a wrong place. `false` if
    /// there are new events to handle first.
    fn directories_hold(&mut self, batch: &mut Batch) -> bool {
        let renamed = batch.moves.first();
        let wandering = renamed.into_iter().map(|(object, _)| object).filter(|object| {
            batch.moves.wanders(object, usize::MAX) && self.directories.id(object).is_some()
        });
        let mut astray = Vec::new();
        for object in wandering.collect::<Vec<_>>() {
            let known = self.directories.id(&object).and_then(|id| self.directories.place(id));
            let known = known.map(|(dir, name)| Spot { directory: dir.into(), name: name.into() });
            if let (Some(known), Some(found)) = (known, look_up(self.root(), &object))
                && known != found
                && self.is_named(&object)
            {
                astray.push((object, self.path_of_spot(&known), found));
            }
        }
        if astray.is_empty() {
            return true;
        }
        if self.pull(batch) > 0 {
            return false;
        }
        for (object, _, found) in &astray {
            let parent = self.directory_id(batch, usize::MAX, &found.directory, MAX_LEARNT);
            if let Some(parent) = parent {
                self.directories.stands(object, parent, &found.name);
            }
        }
        self.doubtful = true;
        for (object, old, found) in astray {
            let pid = batch.who_moved(&object).and_then(|pid| u32::try_from(pid).ok());
            if let (Some(old), Some(new)) = (old, self.path_of_spot(&found))
                && old != new
            {
                self.shake(&[&old, &new]);
                self.move_known(pid.unwrap_or(UNKNOWN_PID), &object, &old, &new, true);
            }
            batch.moves.arrived(&object, found);
        }
        self.doubtful = false;
        true
    }

    /// Something comes to a place where, as far as the events tell, another object stands that still has a name: that one
    /// had left, by an event that merged with an older one.
    pub(super) fn vacate(&mut self, batch: &mut Batch, notice: Notice) {
        let (Some(object), Some(place)) = (notice.object, notice.to.or(notice.place)) else {
            return;
        };
        let spot = batch.spot(place);
        let Some(occupant) = batch.moves.occupant(&spot, batch.bytes(object)) else { return };
        let named = self.open(&occupant).and_then(|f| stat(f.as_fd()));
        if named.is_none_or(|stat| stat.st_nlink == 0) || self.stands_at(&spot, &occupant) {
            return;
        }
        if let Some((to, pid)) = batch.way_from(&occupant, &spot) {
            let pid = u32::try_from(pid).unwrap_or(UNKNOWN_PID);
            self.infer(batch, pid, &occupant, &spot, &to, None);
        }
    }

    fn wrong(&self, batch: &Batch) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        for (spot, resident) in batch.moves.unsettled() {
            let stands = self.stands_at(spot, &resident.object);
            if stands != resident.here {
                let (object, spot) = (resident.object.clone(), spot.clone());
                wrong.push(Wrong { object, spot, stands });
            }
        }
        // One order for all runs: the map has none.
        wrong.sort_by(|a, b| (&a.object, &a.spot.name).cmp(&(&b.object, &b.spot.name)));
        wrong
    }

    /// Whether the object stands at a place now.
    pub(super) fn stands_at(&self, spot: &Spot, object: &[u8]) -> bool {
        let Ok(directory) = open_handle(self.root(), &spot.directory) else { return false };
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&spot.name);
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(directory, name, flags, Mode::empty()).ok();
        let inode = |file: Option<OwnedFd>| {
            file.and_then(|f| stat(f.as_fd())).map(|stat| (stat.st_dev, stat.st_ino))
        };
        let found = inode(found);
        found.is_some() && found == inode(self.open(object))
    }

    /// A place at which an open file stands now.
    pub(super) fn spot_of(&self, file: BorrowedFd<'_>) -> Option<Spot> {
        let path = WorkspacePath::from_bytes(&path_below(self.root(), file)?).ok()?;
        let directory = path_beneath(self.root(), &path.parent()?).ok()?;
        let name = path.as_path().file_name()?;
        let name = std::os::unix::ffi::OsStrExt::as_bytes(name).into();
        Some(Spot { directory: handle_of(directory.as_fd()).ok()?, name })
    }

    /// Makes what is known agree with what was found.
    fn correct(&mut self, batch: &mut Batch, mut wrong: Vec<Wrong>) {
        while let Some(first) = wrong.pop() {
            let same =
                wrong.iter().position(|w| w.object == first.object && w.stands != first.stands);
            let pid = batch.who_moved(&first.object);
            let pid = pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(UNKNOWN_PID);
            let Some(other) = same else {
                if first.stands {
                    self.appeared(batch, pid, &first);
                } else {
                    self.vanished(batch, pid, &first);
                }
                continue;
            };
            let other = wrong.swap_remove(other);
            let (from, to) =
                if first.stands { (other.spot, first.spot) } else { (first.spot, other.spot) };
            // Another that is not where it is thought to be, where this one really is: they changed places.
            let occupant = wrong.iter().position(|w| w.spot == to && !w.stands);
            let occupant = occupant.map(|at| wrong[at].object.clone());
            self.infer(batch, pid, &first.object, &from, &to, occupant.as_deref());
            if let Some(occupant) = occupant {
                wrong.retain(|w| !(w.object == occupant && w.spot == to && !w.stands));
                let there = wrong.iter().position(|w| w.object == occupant && w.spot == from);
                match there {
                    Some(at) => drop(wrong.swap_remove(at)),
                    None => wrong.push(Wrong { object: occupant, spot: from, stands: false }),
                }
            }
        }
    }

    /// A rename that merged with another: told as uncertain.
    pub(super) fn infer(
        &mut self,
        batch: &mut Batch,
        pid: u32,
        object: &[u8],
        from: &Spot,
        to: &Spot,
        occupant: Option<&[u8]>,
    ) {
        let doubtful = std::mem::replace(&mut self.doubtful, true);
        if let (Some(old), Some(new)) = (self.path_of_spot(from), self.path_of_spot(to)) {
            self.shake(&[&old, &new]);
            let directory = self.is_directory(object);
            if let Some(occupant) = occupant {
                let other_directory = self.is_directory(occupant);
                self.exchange(pid, (&old, directory), (&new, other_directory));
                self.put_directory(occupant, from);
            } else {
                self.move_known(pid, object, &old, &new, directory);
            }
            self.put_directory(object, to);
            batch.moves.departed(object, from.clone());
            batch.moves.arrived(object, to.clone());
            if let Some(occupant) = occupant {
                batch.moves.departed(occupant, to.clone());
                batch.moves.arrived(occupant, from.clone());
            }
        }
        self.doubtful = doubtful;
    }

    /// Whether the object still has a name.
    pub(super) fn is_named(&self, object: &[u8]) -> bool {
        self.open(object).and_then(|f| stat(f.as_fd())).is_some_and(|stat| stat.st_nlink > 0)
    }

    pub(super) fn is_directory(&self, object: &[u8]) -> bool {
        let stat = self.open(object).and_then(|f| stat(f.as_fd()));
        stat.map_or(self.directories.id(object).is_some(), |s| {
            s.st_mode & libc::S_IFMT == libc::S_IFDIR
        })
    }

    /// A directory stands at another place.
    pub(super) fn put_directory(&mut self, object: &[u8], spot: &Spot) {
        if self.directories.id(object).is_some()
            && let Some(parent) = self.directories.id(&spot.directory)
        {
            self.directories.stands(object, parent, &spot.name);
        }
    }

    /// The object stands again where it had left from: the event that tells it merged with another.
    pub(super) fn came_back(&mut self, batch: &mut Batch, pid: u32, object: &[u8], spot: &Spot) {
        let doubtful = std::mem::replace(&mut self.doubtful, true);
        let (object, spot) = (object.into(), spot.clone());
        self.appeared(batch, pid, &Wrong { object, spot, stands: true });
        self.doubtful = doubtful;
    }

    /// A file got a name by an event that merged with another.
    fn appeared(&mut self, batch: &mut Batch, pid: u32, wrong: &Wrong) {
        let Some(path) = self.path_of_spot(&wrong.spot) else { return };
        self.shake(&[&path]);
        batch.moves.arrived(&wrong.object, wrong.spot.clone());
        if self.is_directory(&wrong.object) {
            self.put_directory(&wrong.object, &wrong.spot);
            self.contents.directory_made(&path);
            self.emit(pid, written(&path, FileKind::Directory, FileRead::default()));
            return;
        }
        let file = self.open(&wrong.object);
        let target = self.names.get(&wrong.object).filter(|name| **name != path).cloned();
        self.contents.linked(&path, target.as_ref(), file.as_ref().map(|f| f.as_fd()));
        let after = self.contents.known(&path).unwrap_or_default();
        self.emit(
            pid,
            Body::FileLinked(FileLinked { path: path.clone(), target, uncertain: None }),
        );
        self.emit(pid, written(&path, FileKind::File, after));
    }

    /// A name went by an event that merged with another.
    fn vanished(&mut self, batch: &mut Batch, pid: u32, wrong: &Wrong) {
        batch.moves.departed(&wrong.object, wrong.spot.clone());
        if let Some(path) = self.path_of_spot(&wrong.spot)
            && self.contents.kind(&path).is_some()
        {
            self.shake(&[&path]);
            let directory = self.contents.kind(&path) == Some(FileKind::Directory);
            self.remove(pid, &path, directory);
        }
    }
}

/// Whether the notice tells of several things, of which only one need have happened before the notices after it: a removal
/// that followed a read, for example, with which it merged.
fn is_of_several_moments(mask: u64) -> bool {
    let with = |bits: u64| mask & bits != 0;
    let attributes = with(libc::FAN_ATTRIB);
    let removed = with(libc::FAN_DELETE);
    let opened = with(libc::FAN_OPEN | libc::FAN_CLOSE_NOWRITE);
    let wrote = with(libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE);
    if with(libc::FAN_CREATE) {
        // It came to be where it is told to have come to be; what it was given later is told as uncertain content.
        return attributes || removed;
    }
    // An execution may have followed a read.
    let kinds = [attributes, removed, opened, wrote].into_iter().filter(|kind| *kind).count();
    kinds > 1 || with(libc::FAN_OPEN_EXEC)
}

/// Where a directory stands now.
fn look_up(root: BorrowedFd<'_>, handle: &[u8]) -> Option<Spot> {
    let directory = open_handle(root, handle).ok()?;
    let parent = || -> Result<Box<[u8]>, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        handle_of(openat(directory.as_fd(), "..", flags, Mode::empty())?.as_fd())
    };
    // The name by the kernel's cache, and the parent before and after it: neither may be of another moment.
    for _ in 0..MAX_LOOKS {
        let before = parent().ok()?;
        let path = path_below(root, directory.as_fd())?;
        let name = path.rsplit(|b| *b == b'/').next()?;
        if before == parent().ok()? {
            return Some(Spot { directory: before, name: name.into() });
        }
    }
    None
}
