//! Events on files. One of the kernel's events can stand for many by the same process on the same file; they are told
//! in an order that makes sense: came to be, was opened, was written, changed attributes, was removed.

use std::os::fd::AsFd;

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{
    Access, FileKind, FileLinked, FileOpened, FileRead, FileSymlinked, FileWritten,
};
use nix::fcntl::readlinkat;

use super::batch::Batch;
use super::engine::{Engine, Suspect, Unclosed, owned, pid_of, written};
use super::group::stat;
use super::notice::Notice;

/// Names of files that are remembered for hard links; beyond it they are forgotten.
const MAX_NAMES: usize = 1 << 20;

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
        let Some(path) = self.locate(batch, notice) else { return };
        let (mask, pid) = (notice.mask, pid_of(notice));
        let created = mask & libc::FAN_CREATE != 0;
        if !created && is_unnamed(&path) && self.contents.kind(&path).is_none() {
            // O_TMPFILE: a file without a name. If it gets one, that is a creation.
            return;
        }
        let mut removed = mask & libc::FAN_DELETE != 0;
        if removed && created && self.stands(&path, notice.object.map(|o| batch.bytes(o))) {
            // Removed first, and linked there again.
            removed = false;
            if self.contents.kind(&path).is_some() {
                self.remove(pid, &path, false);
            }
        }
        let made = if created { self.created(batch, notice, &path) } else { Made::No };
        let wrote = mask & WRITE != 0;
        let read = mask & libc::FAN_OPEN != 0 && (mask & libc::FAN_CLOSE_NOWRITE != 0 || !wrote);
        let access = match mask & libc::FAN_OPEN_EXEC {
            0 => read.then_some(Access::Read),
            _ => Some(Access::Execute),
        };
        if let (Some(access), false) = (access, created) {
            self.open_told(batch, at, notice, &path, access);
        }
        if made == Made::File || wrote {
            self.version(batch, at, notice, &path, made == Made::File);
        }
        if let (Some(access), true) = (access, created && (wrote || made == Made::Told)) {
            let (kind, content) = self.known(&path);
            self.opened(pid, &path, kind, access, content);
        }
        if mask & libc::FAN_ATTRIB != 0 {
            self.attributes(pid, &path, notice.object.map(|o| batch.bytes(o)));
        }
        if removed {
            if let Some(object) = notice.object.map(|o| batch.bytes(o))
                && self.names.get(object) == Some(&path)
            {
                self.names.remove(object);
            }
            self.remove(pid, &path, false);
        }
    }

    fn created(&mut self, batch: &Batch, notice: Notice, path: &WorkspacePath) -> Made {
        let pid = pid_of(notice);
        let object = notice.object.map(|o| batch.bytes(o));
        let file = object.and_then(|o| self.open(o));
        let stat = file.as_ref().and_then(|f| stat(f.as_fd()));
        let opened = notice.mask & (libc::FAN_OPEN | WRITE) != 0;
        let other_name = object.and_then(|o| self.names.get(o)).filter(|name| *name != path);
        let kind = stat.map(|s| s.st_mode & libc::S_IFMT);
        let linked = other_name.is_some() || (!opened && stat.is_some_and(|s| s.st_nlink > 1));
        match kind {
            Some(libc::S_IFLNK) => {
                let target = file.and_then(|f| readlinkat(f, "").ok());
                let target =
                    target.as_ref().map(|t| std::os::unix::ffi::OsStrExt::as_bytes(t.as_os_str()));
                self.contents.symlinked(path, target);
                let target = String::from_utf8_lossy(target.unwrap_or_default()).into_owned();
                let link = FileSymlinked { path: path.clone(), target };
                self.emit(pid, Body::FileSymlinked(link));
                self.check(pid, path, "a symbolic link was made");
            }
            _ if linked => {
                let target = other_name
                    .cloned()
                    .or_else(|| self.contents.other_name(path, file.as_ref()?.as_fd()));
                self.contents.linked(path, target.as_ref(), file.as_ref().map(|f| f.as_fd()));
                self.emit(pid, Body::FileLinked(FileLinked { path: path.clone(), target }));
                self.check(pid, path, "a hard link was made");
            }
            Some(libc::S_IFREG) => return Made::File,
            None if opened => return Made::File,
            // A special file, or something that was gone before it was seen.
            Some(_) | None => {
                self.contents.special_made(path);
                self.emit(pid, written(path, FileKind::Other, FileRead::default()));
                self.check(pid, path, "a special file was made");
            }
        }
        Made::Told
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
        let pid = pid_of(notice);
        if let Some(base) = self.contents.base(path) {
            self.opened(pid, path, FileKind::File, access, base);
            return;
        }
        let content = self.content_now(batch, at, notice, path);
        let kind = self.contents.kind(path).unwrap_or(FileKind::File);
        self.opened(pid, path, kind, access, content);
    }

    /// What an open saw, of a file that was changed in this session or that the base commit doesn't have. The file
    /// itself may be a later version by now.
    fn content_now(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
        path: &WorkspacePath,
    ) -> FileRead {
        let Some(object) = notice.object else { return self.known(path).1 };
        if self.unclosed.get(batch.bytes(object)).is_some_and(|u| u.modified) {
            // It is being written: nobody can tell what it had at that moment.
            return FileRead::default();
        }
        if notice.mask & WRITE != 0 {
            return self.known(path).1;
        }
        let Some(file) = self.open(batch.bytes(object)) else { return self.known(path).1 };
        if self.contents.is_as_hashed(path, file.as_fd()) {
            return self.known(path).1;
        }
        self.pull(batch);
        if batch.written_later(at, object) {
            return self.known(path).1;
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
        }
        content
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
        let (mask, pid) = (notice.mask, pid_of(notice));
        let object = owned(batch, notice.object);
        if let Some(object) = &object {
            self.suspects.remove(object);
        }
        let closed = mask & libc::FAN_CLOSE_WRITE != 0 || (made && mask & libc::FAN_OPEN == 0);
        if !closed && let Some(object) = &object {
            let modified = !made && !self.owed.contains(object);
            let told = made || self.unclosed.get(object).is_some_and(|u| u.told);
            let unclosed = Unclosed { path: path.clone(), pid, modified, told };
            self.unclosed.insert(object.clone(), unclosed);
        }
        // A close that was told without its content, because this write was waiting: now it can be.
        let owed = object.as_ref().is_some_and(|o| self.owed.remove(o));
        if !closed && !made && !owed {
            return;
        }
        let file = object.as_ref().and_then(|o| self.open(o));
        if let Some(stat) = file.as_ref().and_then(|f| stat(f.as_fd()))
            && stat.st_mode & libc::S_IFMT != libc::S_IFREG
        {
            self.opened(pid, path, FileKind::Other, Access::Write, FileRead::default());
            return;
        }
        // Another process that still has it open tells of its next write by a notice of its own.
        let unclosed = object.as_ref().filter(|_| closed).and_then(|o| self.unclosed.remove(o));
        let was_told_open = unclosed.is_some_and(|u| u.told);
        let limits = self.contents.limits();
        let limit = if closed { limits.closed } else { limits.open };
        let mut told = match &file {
            Some(file) => self.contents.written_through(path, file.as_fd(), limit),
            None => self.contents.written_and_gone(path),
        };
        self.pull(batch);
        if let Some(object) = notice.object
            && batch.written_later_by_another(at, object)
        {
            // What was hashed may be the other's version.
            self.owed.insert(batch.bytes(object).into());
            self.contents.written_and_gone(path);
            told.after = FileRead::default();
            told.changed = true;
        }
        if made || told.changed || was_told_open {
            let before = (!made).then(|| told.before.unwrap_or_default());
            self.emit(
                pid,
                Body::FileWritten(FileWritten {
                    path: path.clone(),
                    kind: FileKind::File,
                    before,
                    after: told.after,
                    open: !closed,
                }),
            );
        } else {
            let (path, content) = (path.clone(), told.after);
            let (kind, access) = (FileKind::File, Access::Write);
            self.emit(pid, Body::FileOpened(FileOpened { path, kind, access, content }));
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

/// Whether overlayfs names files without a name so: `#` and the number of the inode.
fn is_unnamed(path: &WorkspacePath) -> bool {
    let bytes = path.as_bytes();
    let name = bytes.rsplit(|b| *b == b'/').next().unwrap_or(bytes);
    matches!(name, [b'#', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}
