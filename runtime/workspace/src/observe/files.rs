//! Events on files. One of the kernel's events can stand for many by the same process on the same file; they are told
//! in an order that makes sense: came to be, was opened, was written, changed attributes, was removed.

use std::os::fd::{AsFd, BorrowedFd};

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{
    Access, FileKind, FileLinked, FileRead, FileSymlinked, FileWritten, Uncertain,
};
use nix::fcntl::readlinkat;

use super::UNKNOWN_PID;
use super::batch::{Batch, is_name_of_unnamed};
use super::engine::{Engine, Suspect, Unclosed, owned, pid_of};
use super::group::{handle_of, path_below, stat};
use super::notice::Notice;
use super::writers::{Writing, is_open_for_writing, only_writes};
use crate::content::path_beneath;

/// Names of files that are remembered for hard links; beyond it they are forgotten.
const MAX_NAMES: usize = 1 << 20;

/// Files that were opened and written to at once that are remembered until one of the opens is closed.
const MAX_HALF_OPENED: usize = 4_096;

const WRITE: u64 = libc::FAN_MODIFY | libc::FAN_CLOSE_WRITE;

/// What `FAN_CREATE` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// Nothing was made.
    No,
    /// A regular file, whose content is to be told.
    File,
    /// Something else, that was told.
    Told,
}

impl Engine {
    pub(super) fn file(&mut self, batch: &mut Batch, at: usize, notice: Notice) {
        let Some(mut path) = self.locate(batch, at, notice) else { return };
        let (mask, pid) = (notice.mask, pid_of(notice));
        let created = mask & libc::FAN_CREATE != 0;
        let mut gone = false;
        if !created && let (Some(object), Some(place)) = (notice.object, notice.place) {
            let spot = batch.spot(place);
            if batch.moves.has_left(batch.bytes(object), &spot) {
                // It had left before this, as far as is known: the kernel tells of something older by an older event.
                let now = batch.moves.whereabouts(batch.bytes(object));
                match now.and_then(|now| self.path_of_spot(&now)) {
                    Some(now) => {
                        path = now;
                        self.doubtful = true;
                    }
                    None => gone = true,
                }
            } else if mask & WRITE != 0 && mask & libc::FAN_DELETE == 0 {
                // Its other names are told of by notices of their own.
                let unknown = self.contents.kind(&path).is_none();
                gone = (unknown && !self.stands(&path, Some(batch.bytes(object))))
                    || self.has_lost_name(batch, at, notice, &path);
            }
        }
        if !created && is_unnamed(&path) && self.contents.kind(&path).is_none() {
            // O_TMPFILE: a file without a name. If it gets one, that is a creation.
            return;
        }
        let mut removed = mask & libc::FAN_DELETE != 0;
        if removed && created && self.stands(&path, notice.object.map(|o| batch.bytes(o))) {
            // Removed first, and linked there again.
            removed = false;
            self.departs(batch, notice);
            if self.contents.kind(&path).is_some() {
                self.remove(pid, &path, false);
            }
        }
        if created {
            self.vacate(batch, notice);
            self.arrives(batch, notice);
        }
        let made = if created { self.created(batch, at, notice, &path) } else { Made::No };
        let wrote = mask & WRITE != 0;
        let (opened, closed) = (mask & libc::FAN_OPEN != 0, mask & libc::FAN_CLOSE_NOWRITE != 0);
        // An open that merged with a write was one for reading, if it is closed as such.
        let mut other = None;
        let half = closed
            && !opened
            && owned(batch, notice.object).is_some_and(|o| self.half_opened.remove(&(o, pid)));
        let read = (opened && (closed || !wrote)) || half;
        if opened
            && wrote
            && !closed
            && let Some(object) = owned(batch, notice.object)
        {
            if self.half_opened.len() >= MAX_HALF_OPENED {
                self.half_opened.clear();
            }
            self.half_opened.insert((object, pid));
        }
        let access = match mask & libc::FAN_OPEN_EXEC {
            0 => read.then_some(Access::Read),
            _ => Some(Access::Execute),
        };
        if half && !gone {
            let kind = self.contents.kind(&path).unwrap_or(FileKind::File);
            self.opened(pid, &path, kind, Access::Read, (FileRead::default(), true));
        } else if gone {
            other = if wrote { self.name_now(batch, notice) } else { None };
            self.gone(batch, notice, &path, access, wrote && other.is_none());
        } else if let (Some(access), false) = (access, created) {
            self.open_told(batch, at, notice, &path, access);
        }
        if gone {
            // What it has now is a version of its other name, or can't be reached by any path.
            if let Some(other) = other {
                self.version(batch, at, notice, &other, false);
            }
        } else if made == Made::File || wrote {
            self.version(batch, at, notice, &path, made == Made::File);
        }
        if let (Some(access), true) = (access, created && (wrote || made == Made::Told)) {
            let (kind, content) = self.known(&path);
            self.pull(batch);
            let later = notice.object.is_some_and(|object| {
                batch.written_later(at, object) || batch.written_before(at, object)
            });
            // It may have been opened when a directory above had another name already.
            let doubtful = self.doubtful;
            self.doubtful |= self.is_carried_on(batch, at, notice);
            self.opened(pid, &path, kind, access, (content, wrote || later));
            self.doubtful = doubtful;
        }
        if mask & libc::FAN_ATTRIB != 0 {
            self.attributes(pid, &path, notice.object.map(|o| batch.bytes(o)));
        }
        if removed {
            self.departs(batch, notice);
            if let Some(object) = notice.object.map(|o| batch.bytes(o))
                && self.names.get(object) == Some(&path)
            {
                self.names.remove(object);
            }
            self.remove(pid, &path, false);
        }
    }

    /// Whether a file that was written to has lost this name already, and no event tells that this was later.
    fn has_lost_name(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
    ) -> bool {
        let (Some(object), Some(place)) = (notice.object, notice.place) else { return false };
        let spot = batch.spot(place);
        let stands = self.open(batch.bytes(object)).is_some_and(|file| {
            stat(file.as_fd()).is_some_and(|stat| stat.st_nlink > 0)
                && (path_below(self.root(), file.as_fd()).is_some_and(|now| now == path.as_bytes())
                    || self.stands_at(&spot, batch.bytes(object)))
        });
        if stands {
            return false;
        }
        self.pull(batch);
        !batch.leaves_later(at, batch.bytes(object), &spot)
    }

    /// A known name of a file that has lost the one by which it was written to.
    fn name_now(&self, batch: &Batch, notice: Notice) -> Option<WorkspacePath> {
        let file = self.open(batch.bytes(notice.object?))?;
        let path = self.path_of_spot(&self.spot_of(file.as_fd())?)?;
        self.contents.known(&path).map(|_| path)
    }

    /// Something was done to a file by a name that it has not any more, and that is told of as removed or replaced. `wrote` says
    /// that this was a write, and that there is no other name to tell its version of.
    fn gone(
        &mut self,
        batch: &Batch,
        notice: Notice,
        path: &WorkspacePath,
        access: Option<Access>,
        wrote: bool,
    ) {
        let doubtful = self.doubtful;
        // Its last name is that of a place that may be elsewhere by now.
        let place = notice.place.and_then(|p| self.directories.id(batch.bytes(p.directory)));
        self.doubtful |= place.is_none_or(|id| self.directories.has_moved(id));
        let object = owned(batch, notice.object);
        let before = object.as_ref().and_then(|o| self.unclosed.get(o));
        let opened = notice.mask & (libc::FAN_MODIFY | libc::FAN_OPEN) != 0;
        let writer = match before.map(|unclosed| unclosed.pid) {
            Some(writer) if notice.mask & libc::FAN_MODIFY == 0 => Some(writer),
            // Who only closes a descriptor that was passed on did nothing to the file.
            Some(_) | None => opened.then(|| pid_of(notice)),
        };
        if let Some(object) = object.filter(|_| wrote && notice.mask & libc::FAN_CLOSE_WRITE != 0) {
            self.unclosed.remove(&object);
            self.owed.remove(&object);
        }
        let accesses = access.into_iter().map(|access| (pid_of(notice), access));
        let writer = writer.filter(|_| wrote).map(|pid| (pid, Access::Write));
        for (pid, access) in accesses.chain(writer) {
            self.opened(pid, path, FileKind::File, access, (FileRead::default(), true));
        }
        self.doubtful = doubtful;
    }

    fn created(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
    ) -> Made {
        let pid = pid_of(notice);
        let object = notice.object.map(|o| batch.bytes(o));
        let file = object.and_then(|o| self.open(o));
        let stat = file.as_ref().and_then(|f| stat(f.as_fd()));
        let opened = notice.mask & (libc::FAN_OPEN | WRITE) != 0;
        let other_name = object.and_then(|o| self.names.get(o)).filter(|name| *name != path);
        let kind = stat.map(|s| s.st_mode & libc::S_IFMT);
        // One that was opened at once may have been made here, and linked elsewhere since.
        let several = stat.is_some_and(|s| s.st_nlink > 1);
        let other_name = other_name.cloned().or_else(|| {
            let file = file.as_ref()?;
            match several {
                true => self.name_before(batch, at, notice, path, file.as_fd()),
                false => self.name_left(batch, at, notice, path, file.as_fd()),
            }
        });
        let linked = other_name.is_some() || (!opened && several);
        match kind {
            Some(libc::S_IFLNK) => {
                let target = file.and_then(|f| readlinkat(f, "").ok());
                let target =
                    target.as_ref().map(|t| std::os::unix::ffi::OsStrExt::as_bytes(t.as_os_str()));
                self.contents.symlinked(path, target);
                let target = String::from_utf8_lossy(target.unwrap_or_default()).into_owned();
                let link = FileSymlinked { path: path.clone(), target, uncertain: None };
                self.emit(pid, Body::FileSymlinked(link));
                self.check(pid, path, "a symbolic link was made");
            }
            _ if linked => {
                // What the file has by now is the version of a later event, if it isn't that of the other name.
                let target = other_name.filter(|target| self.contents.known(target).is_some());
                let unknown = file.as_ref().filter(|_| target.is_none()).map(|f| f.as_fd());
                self.contents.linked(path, target.as_ref(), unknown);
                if let Some(target) = &target {
                    self.set_unsure(path, self.is_shaken(target));
                }
                let content = unknown.map(|_| self.known(path).1);
                let link = FileLinked { path: path.clone(), target, uncertain: None };
                self.emit(pid, Body::FileLinked(link));
                if let Some(after) = content {
                    self.pull(batch);
                    let later = notice.object.is_some_and(|o| batch.written_later(at, o));
                    let doubtful = later || self.moves_on(batch, at, notice);
                    self.set_unsure(path, doubtful || self.doubtful);
                    let told = FileWritten {
                        path: path.clone(),
                        kind: FileKind::File,
                        before: None,
                        after,
                        open: false,
                        uncertain: Uncertain::of(false, doubtful),
                    };
                    self.emit(pid, Body::FileWritten(told));
                }
                self.check(pid, path, "a hard link was made");
            }
            Some(libc::S_IFREG) => return Made::File,
            None if opened || self.opens_later(batch, at, notice) => return Made::File,
            // A special file, or something that was gone before it was seen: nobody can say what it was.
            Some(_) | None => {
                self.contents.special_made(path);
                let uncertain = Uncertain::of(false, kind.is_none());
                let (path_told, kind, after) = (path.clone(), FileKind::Other, FileRead::default());
                let made = FileWritten {
                    path: path_told,
                    kind,
                    before: None,
                    after,
                    open: false,
                    uncertain,
                };
                self.emit(pid, Body::FileWritten(made));
                self.check(pid, path, "a special file was made");
            }
        }
        Made::Told
    }

    /// Another name that a file had when it got the name `path`; `None` if it had none. Names that are found now may be of
    /// later: where that can't be told, what is told next is doubtful.
    fn name_before(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
        file: BorrowedFd<'_>,
    ) -> Option<WorkspacePath> {
        let found = self.contents.other_name(path, file);
        self.pull(batch);
        let handle = batch.bytes(notice.object?);
        if let Some(renamed) = batch.moves.next(handle, at) {
            let from = self.path_of_spot(&batch.spot(batch.notice(renamed)?.place?))?;
            if from != *path {
                return Some(from);
            }
            // What is found may be where it went from here.
            self.doubtful = true;
            return None;
        }
        let links = batch.links_after(at, handle);
        // The directory of a link may be one that is only met later.
        let is_found = |spot| match (self.path_of_spot(spot), &found) {
            (Some(link), Some(found)) => link == *found,
            (None, _) | (_, None) => true,
        };
        if links.iter().any(is_found) {
            // It has the other name since then, or had one before, of which there is no telling.
            self.doubtful |= notice.mask & (libc::FAN_OPEN | WRITE) == 0;
            return None;
        }
        if found.is_none() {
            // It has another name, and nothing tells which, or since when.
            self.doubtful = true;
            return None;
        }
        let parent = found.as_ref().and_then(WorkspacePath::parent);
        let parent = parent.and_then(|parent| path_beneath(self.root(), &parent).ok());
        let parent = parent.and_then(|parent| handle_of(parent.as_fd()).ok());
        let parent = parent.and_then(|handle| self.directories.id(&handle));
        let moved = |id| self.directories.handles(id).any(|d| batch.moves.next(d, at).is_some());
        if parent.is_some_and(moved) {
            self.doubtful = true;
            return None;
        }
        found
    }

    /// Another name that a file had when it got the name `path`, where it has only one by now; `None` if it was made there. The
    /// kernel tells of a link as of a file that is made.
    fn name_left(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
        file: BorrowedFd<'_>,
    ) -> Option<WorkspacePath> {
        let (object, spot) = (owned(batch, notice.object)?, batch.spot(notice.place?));
        let stands = path_below(self.root(), file).is_some_and(|now| now == path.as_bytes())
            || self.stands_at(&spot, &object);
        let now = if stands { None } else { self.spot_of(file) };
        self.pull(batch);
        let arrivals = batch.arrivals_after(at, &object);
        let mut names = batch.names_of(&object);
        match batch.moves.next(&object, at).and_then(|renamed| batch.notice(renamed)) {
            // Where it is now it came from here, or from its other name.
            Some(renamed) => names.push(batch.spot(renamed.place?)),
            None => names.extend(batch.moves.whereabouts(&object).into_iter().chain(now)),
        }
        names.retain(|name| !arrivals.contains(name));
        let names = names.into_iter().filter(|name| *name != spot);
        let mut paths = names.filter_map(|name| self.path_of_spot(&name));
        paths.find(|path| self.contents.known(path).is_some())
    }

    /// Whether what was made and is gone was opened after that: a file is, by whoever makes it.
    fn opens_later(&mut self, batch: &mut Batch, at: usize, notice: Notice) -> bool {
        self.pull(batch);
        notice.object.is_some_and(|object| batch.opened_later(at, object))
    }

    /// What is known of a path, without looking.
    fn known(&self, path: &WorkspacePath) -> (FileKind, FileRead) {
        let kind = self.contents.kind(path).unwrap_or(FileKind::File);
        (kind, self.contents.known(path).unwrap_or_default())
    }

    fn open_told(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
        access: Access,
    ) {
        if access == Access::Read && self.is_for_writing(batch, at, notice, path) {
            return;
        }
        let content = self.content_now(batch, at, notice, path);
        let kind = self.contents.kind(path).unwrap_or(FileKind::File);
        self.opened(pid_of(notice), path, kind, access, content);
    }

    /// Whether an open that no close is told of yet was one for writing: its close will tell. The notice of an open does not say
    /// what it is for.
    fn is_for_writing(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
    ) -> bool {
        let Some(object) = notice.object else { return false };
        if notice.mask & (libc::FAN_CLOSE_NOWRITE | WRITE) != 0 {
            return false;
        }
        self.pull(batch);
        if let Some(wrote) = batch.wrote_after(at, object) {
            return wrote;
        }
        // Whatever is opened for writing is copied up.
        if self.contents.base(path).is_some() && self.is_untouched(path) {
            return false;
        }
        let Some(file) = self.open(batch.bytes(object)) else { return false };
        // One for reading and writing is told now: what was read may be on its way out before it is closed.
        if let Some(only) = only_writes(pid_of(notice), file.as_fd()) {
            return only;
        }
        // It was closed in between.
        self.pull(batch);
        batch.wrote_after(at, object).unwrap_or(false)
    }

    /// What an open saw, and whether that is uncertain. The file itself may be a later version by now.
    fn content_now(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
    ) -> (FileRead, bool) {
        let Some(object) = notice.object else { return (self.known(path).1, true) };
        let astray = self.doubtful
            || self.is_shaken(path)
            || (batch.moves.any()
                && notice.place.is_some_and(|p| batch.moves.is_wandered_through(&batch.spot(p))));
        if !astray
            && let Some(base) = self.contents.base(path)
            && self.is_untouched(path)
        {
            self.pull(batch);
            if !self.moves_on(batch, at, notice) && !batch.loses_a_name(at, object) {
                let later = is_mixed(notice.mask) && batch.written_later(at, object);
                return (base, later);
            }
        }
        let handle = batch.bytes(object);
        if self.writers.is_live(handle) || self.unclosed.get(handle).is_some_and(|u| u.modified) {
            // It is being written: nobody can tell what it had at that moment.
            return (FileRead::default(), true);
        }
        let Some(file) = self.open(handle) else {
            return (self.known(path).1, astray || batch.written_before(at, object));
        };
        let writing = self.writing(file.as_fd());
        if writing == Writing::Somebody {
            self.writers.found(handle, path, UNKNOWN_PID, false);
            return (FileRead::default(), true);
        }
        // From here on: who wrote before nobody could any more has been told of.
        self.pull(batch);
        let unsure = writing == Writing::Unknown
            || batch.written_before(at, object)
            || (is_mixed(notice.mask) && batch.written_later(at, object));
        if astray {
            // What is known of the path may be of another file.
            let content = self.contents.look(file.as_fd());
            // One that is copied up in this moment is empty for a while, and has no writer yet.
            let written = unsure || batch.written_later(at, object) || !self.is_untouched(path);
            return (content, written);
        }
        if notice.mask & WRITE != 0
            || self.contents.is_as_hashed(path, file.as_fd())
            || batch.written_later(at, object)
        {
            return (self.known(path).1, unsure);
        }
        let before = self.contents.entry(path);
        let (content, unnoticed) = self.contents.opened_through(path, file.as_fd());
        if unnoticed.is_some() {
            // Written through a mapping, or by a process that is just now in the call: its notice comes in a moment.
            self.contents.restore(path, before);
            let object = batch.bytes(object);
            if !self.suspects.contains_key(object) {
                let suspect = Suspect { path: path.clone(), since: self.time() };
                self.suspects.insert(object.into(), suspect);
            }
            // Nor is it known whether the open was before that.
            return (content, true);
        }
        (content, unsure)
    }

    /// A version came to be, or may have.
    fn version(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
        made: bool,
    ) {
        let mask = notice.mask;
        let object = owned(batch, notice.object);
        if let Some(object) = &object {
            self.suspects.remove(object);
        }
        // Who closes a descriptor that was passed on need not be who wrote.
        let before = object.as_ref().and_then(|o| self.unclosed.get(o));
        let was_told_open = before.is_some_and(|unclosed| unclosed.told);
        // A close that was told without its content, because this write was waiting: now it can be.
        let owed = object.as_ref().and_then(|o| self.owed.remove(o));
        let writer = before.filter(|unclosed| unclosed.sure).map(|unclosed| unclosed.pid).or(owed);
        let modifier = || u32::try_from(batch.writer(notice.object?)?).ok();
        // Who maps a file writes without a word: so does whoever else has it mapped.
        let mapper = || {
            let mapper = self.writers.pid(object.as_ref()?)?;
            Some(if mapper == pid_of(notice) { mapper } else { UNKNOWN_PID })
        };
        let wrote = mask & libc::FAN_MODIFY != 0 || made;
        let writer = if wrote { None } else { writer.or_else(modifier) };
        // A descriptor that was passed on may be closed by one who opened nothing.
        let opened = notice.object.is_some_and(|object| batch.was_opened(at, object));
        let closer = if opened || wrote { pid_of(notice) } else { UNKNOWN_PID };
        let opener = writer.unwrap_or(closer);
        let writer = if wrote { None } else { writer.or_else(mapper) };
        let mut pid = writer.unwrap_or(pid_of(notice));
        // A version is only told if it is found, where no notice tells of a write.
        let mut silent = !wrote && writer.is_none();
        let closed = mask & libc::FAN_CLOSE_WRITE != 0 || (made && mask & libc::FAN_OPEN == 0);
        if !closed && let Some(object) = &object {
            let modified = !made && owed.is_none();
            let told = made || was_told_open;
            let unclosed = Unclosed { path: path.clone(), pid, sure: true, modified, told };
            self.unclosed.insert(object.clone(), unclosed);
        }
        if !closed && !made && owed.is_none() {
            return;
        }
        let file = object.as_ref().and_then(|o| self.open(o));
        let found = file.as_ref().and_then(|f| stat(f.as_fd()));
        // Before it is read: what is removed after that had the content that is read.
        let gone = found.as_ref().is_some_and(|stat| stat.st_nlink == 0);
        if found.is_some_and(|stat| stat.st_mode & libc::S_IFMT != libc::S_IFREG) {
            let content = (FileRead::default(), false);
            self.opened(pid, path, FileKind::Other, Access::Write, content);
            return;
        }
        // Another process that still has it open tells of its next write by a notice of its own.
        if closed && let Some(object) = &object {
            self.unclosed.remove(object);
        }
        // A mapping writes on after the close. Asked before the file is read: what ends in between is looked after later.
        let (mapped, real) = match &file {
            Some(file) if closed => self.is_still_written(file.as_fd()),
            Some(_) | None => (false, None),
        };
        let open = !closed || mapped;
        let limits = self.contents.limits();
        let limit = if closed { limits.closed } else { limits.open };
        let mut told = match &file {
            Some(file) => self.contents.written_through(path, file.as_fd(), limit),
            None => self.contents.written_and_gone(path),
        };
        // Another open may have begun to write while it was read, and not be told of yet. One that is over is told of by now.
        let begun = real.as_ref().is_some_and(is_open_for_writing);
        self.pull(batch);
        if silent && notice.object.is_some_and(|object| batch.others_write(at, object)) {
            (silent, pid) = (told.after.digest.is_none(), UNKNOWN_PID);
        }
        if let Some(object) = notice.object
            && batch.written_later_elsewhere(at, object)
        {
            // What was hashed may be the version of another process, or one that only the other name has.
            let writer = if silent { UNKNOWN_PID } else { pid };
            self.owed.insert(batch.bytes(object).into(), writer);
            self.contents.written_and_gone(path);
            told.after = FileRead::default();
            told.changed = true;
        }
        if gone {
            // The write may have come after the removal.
            self.contents.written_and_gone(path);
            told.after = FileRead::default();
            told.changed = true;
        }
        // The write may have come after a rename that is told after it, or by another name after this one was removed.
        let bare = made && mask & (libc::FAN_OPEN | WRITE) == 0 && batch.moves.any();
        let removed = !gone
            && file.as_ref().and_then(|f| stat(f.as_fd())).is_some_and(|stat| stat.st_nlink == 0);
        // Or it was opened, written to and closed in between; or it was written to through another name, or a mapping, when this
        // name was gone.
        let later = told.after.digest.is_some()
            && (file.as_ref().is_some_and(|f| !self.contents.is_as_hashed(path, f.as_fd()))
                || notice.object.is_some_and(|o| batch.loses_a_name(at, o))
                || notice.place.is_some_and(|p| batch.moves.is_replaced_after(&batch.spot(p), at)));
        // What was not known before may have been there before: that it was written now is told by nothing.
        let unfounded = silent
            && !told
                .before
                .as_ref()
                .is_some_and(|before| before.digest.is_some() || before.git_blob.is_some());
        if unfounded {
            pid = UNKNOWN_PID;
        }
        let doubtful =
            begun || later || unfounded || removed || bare || self.moves_on(batch, at, notice);
        self.set_unsure(path, doubtful || self.doubtful);
        let uncertain = Uncertain::of(false, doubtful);
        // That it was written to is told by nothing, where it was only opened for it.
        let only_opened = silent && told.after.digest.is_none();
        if mapped && let Some(object) = &object {
            self.writers.found(object, path, pid, wrote);
            let told = !only_opened && (made || told.changed || was_told_open);
            let unclosed = Unclosed { path: path.clone(), pid, sure: wrote, modified: true, told };
            self.unclosed.insert(object.clone(), unclosed);
        }
        if only_opened {
            self.opened(opener, path, FileKind::File, Access::Write, (FileRead::default(), true));
        } else if made || told.changed || was_told_open {
            let before = (!made).then(|| told.before.unwrap_or_default());
            let (path, after) = (path.clone(), told.after);
            let kind = FileKind::File;
            let written = FileWritten { path, kind, before, after, open, uncertain };
            self.emit(pid, Body::FileWritten(written));
        } else {
            self.opened(opener, path, FileKind::File, Access::Write, (told.after, doubtful));
        }
        if made {
            if let Some(object) = object {
                if self.names.len() >= MAX_NAMES {
                    self.names.clear();
                }
                self.names.insert(object, path.clone());
            }
            self.check(pid, path, "a file was made");
        }
    }
}

/// Whether an open need not have been the first thing that the notice tells of.
fn is_mixed(mask: u64) -> bool {
    mask & (libc::FAN_ATTRIB | libc::FAN_OPEN_EXEC | libc::FAN_CREATE | WRITE) != 0
}

fn is_unnamed(path: &WorkspacePath) -> bool {
    let bytes = path.as_bytes();
    is_name_of_unnamed(bytes.rsplit(|b| *b == b'/').next().unwrap_or(bytes))
}
