//! What version each path of a session's workspace has: seeded from the base commit, moved on by what the guard and
//! the observer see, and compared with the upper layer at the end.
//!
//! It reads files through the keeper's clean view alone (a directory fd), never through a path of the host, and it
//! writes nothing. Shared by all threads of the keeper.

mod budget;
mod hash;
mod links;
mod open;
mod replay;
mod versions;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use budget::Budget;
use custody_model::{GitOid, WorkspacePath};
use custody_record::event::{FileKind, FileRead};
use nix::sys::stat::FileStat;

pub use hash::{
    GitHash, Hashed, MAX_END_HASHED_BYTES, MAX_HASHED_BYTES, MAX_OPEN_HASHED_BYTES, Stamp,
    hash_file,
};
use links::Links;
pub use open::{open_beneath, path_beneath, reopen_for_reading};
pub(crate) use versions::{Entry, Version, rebased};

/// A file of the base commit, as its manifest tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEntry {
    /// Its blob.
    pub git_blob: GitOid,
    /// Its git mode: `0o100644`, `0o100755`, `0o120000` (symbolic link) or `0o160000` (submodule: an empty directory).
    pub mode: u32,
    /// Bytes.
    pub size: u64,
}

/// Files that are looked at to find the other name of a hard link.
const MAX_NAMES_TRIED: usize = 20_000;

/// How much is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLimits {
    /// Larger files are recorded with their size and without a digest.
    pub closed: u64,
    /// The same, for files that still are open for writing: they may be hashed many times.
    pub open: u64,
    /// Bytes of all files together, from [`Contents::end`] on. Files beyond it are recorded as those that are too large.
    pub end: u64,
}

impl Default for HashLimits {
    fn default() -> Self {
        Self { closed: MAX_HASHED_BYTES, open: MAX_OPEN_HASHED_BYTES, end: MAX_END_HASHED_BYTES }
    }
}

/// A version that came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The version before: `None` if there was no file. Empty if there was one whose content was never known.
    pub before: Option<FileRead>,
    /// The version now. Without a digest if the file is gone, too large, or changed while it was read.
    pub after: FileRead,
    /// The content is not what it was before, or it can't be told.
    pub changed: bool,
}

/// What a rename did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// What was renamed.
    pub kind: FileKind,
    /// The file that stood at the new name and was replaced.
    pub replaced: Option<FileRead>,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub kind: FileKind,
    /// Its last version, for files.
    pub before: Option<FileRead>,
}

/// What version each path has.
pub struct Contents {
    root: OwnedFd,
    format: GitHash,
    limits: HashLimits,
    entries: Mutex<HashMap<WorkspacePath, Entry>>,
    /// Taken after `entries`, never before.
    links: Mutex<Links>,
    budget: Budget,
}

impl Contents {
    /// The state at the start: that of the base commit.
    ///
    /// `root` is the root directory of the clean view, opened for reading (not `O_PATH`).
    pub fn new(
        root: OwnedFd,
        format: GitHash,
        base: impl IntoIterator<Item = (WorkspacePath, BaseEntry)>,
        limits: HashLimits,
    ) -> Self {
        let entries = base.into_iter().map(|(path, entry)| (path, Entry::from_base(entry)));
        Self {
            root,
            format,
            limits,
            entries: Mutex::new(entries.collect()),
            links: Mutex::default(),
            budget: Budget::default(),
        }
    }

    /// The root of the clean view.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// How the repository names its objects.
    #[must_use]
    pub fn format(&self) -> GitHash {
        self.format
    }

    /// How much is hashed.
    #[must_use]
    pub fn limits(&self) -> HashLimits {
        self.limits
    }

    /// The version that a file has, as far as it is known without looking: `None` if there is no such file, empty if
    /// its content was never hashed. Costs one look-up.
    #[must_use]
    pub fn known(&self, path: &WorkspacePath) -> Option<FileRead> {
        self.lock().get(path)?.read()
    }

    /// What stands at the path, as far as it is known without looking.
    #[must_use]
    pub fn kind(&self, path: &WorkspacePath) -> Option<FileKind> {
        Some(self.lock().get(path)?.kind())
    }

    /// What an open of the file at `path` sees now: the git blob if it is unmodified since the base commit (nothing
    /// is looked at then), else what it had when it was hashed last, or is hashed now if it was changed since.
    ///
    /// Empty if the file is gone or isn't a regular file.
    #[must_use]
    pub fn opened(&self, path: &WorkspacePath) -> FileRead {
        if let Some(base) = self.base(path) {
            return base;
        }
        match path_beneath(self.root.as_fd(), path) {
            Ok(file) => self.opened_through(path, file.as_fd()).0,
            Err(_) => self.known(path).unwrap_or_default(),
        }
    }

    /// The version that the base commit has at the path, if it wasn't modified since.
    #[must_use]
    pub fn base(&self, path: &WorkspacePath) -> Option<FileRead> {
        self.lock().get(path)?.base()
    }

    /// As [`Contents::opened`], through any descriptor of the file (`O_PATH` will do). The second value tells the
    /// version that was known before, if the content was changed since without any notice.
    #[must_use]
    pub fn opened_through(
        &self,
        path: &WorkspacePath,
        file: BorrowedFd<'_>,
    ) -> (FileRead, Option<Written>) {
        let known = self.lock().get(path).cloned();
        if let Some(entry) = &known {
            if let Some(base) = entry.base() {
                return (base, None);
            }
            if let (Some(read), Some(stamp)) = (entry.read(), entry.stamp())
                && Stamp::of(file).is_ok_and(|now| now == stamp)
            {
                return (read, None);
            }
        }
        let recorded = known.as_ref().is_some_and(Entry::is_recorded);
        let Some(version) = self.hash(file, self.limits.closed) else {
            return (known.and_then(|e| e.read()).unwrap_or_default(), None);
        };
        let read = version.read.clone();
        let before = known.and_then(|e| e.read());
        let changed =
            read.digest.is_none() || before.as_ref().is_none_or(|b| !same_content(b, &read));
        let entry = if recorded { Entry::written(version) } else { Entry::seen(version) };
        self.put(path, entry);
        let unnoticed =
            (recorded && changed).then(|| Written { before, after: read.clone(), changed });
        (read, unnoticed)
    }

    /// What a file has now; nothing is remembered of it. Empty if it isn't a regular file.
    #[must_use]
    pub(crate) fn look(&self, file: BorrowedFd<'_>) -> FileRead {
        self.hash(file, self.limits.closed).map(|version| version.read).unwrap_or_default()
    }

    /// Hashes what was written to the file at `path`, through the clean view: never follows a link, never leaves the
    /// view, never waits for a fifo. What is no regular file (any more) has an empty version.
    pub fn written(&self, path: &WorkspacePath) -> Written {
        match path_beneath(self.root.as_fd(), path) {
            Ok(file) => self.written_through(path, file.as_fd(), self.limits.closed),
            Err(_) => self.written_and_gone(path),
        }
    }

    /// As [`Contents::written`], through any descriptor of the file (`O_PATH` will do). Files of more than `limit`
    /// bytes get no digest.
    pub fn written_through(
        &self,
        path: &WorkspacePath,
        file: BorrowedFd<'_>,
        limit: u64,
    ) -> Written {
        let Some(version) = self.hash(file, limit) else {
            return self.written_and_gone(path);
        };
        let after = version.read.clone();
        let before = self.put(path, Entry::written(version)).and_then(|e| e.read());
        let changed =
            after.digest.is_none() || before.as_ref().is_none_or(|b| !same_content(b, &after));
        Written { before, after, changed }
    }

    /// A file was written at `path`, and nobody can tell any more what it had.
    pub fn written_and_gone(&self, path: &WorkspacePath) -> Written {
        let entry = Entry::written(Version::default());
        let before = self.put(path, entry).and_then(|e| e.read());
        Written { before, after: FileRead::default(), changed: true }
    }

    /// Whether the file has the size and times that it had when it was hashed last. Tells nothing about a file that
    /// has a writer or a shared mapping.
    #[must_use]
    pub fn is_as_hashed(&self, path: &WorkspacePath, file: BorrowedFd<'_>) -> bool {
        let stamp = self.lock().get(path).and_then(Entry::stamp);
        stamp.is_some_and(|then| Stamp::of(file).is_ok_and(|now| now == then))
    }

    /// A directory was made.
    pub fn directory_made(&self, path: &WorkspacePath) {
        self.lock().insert(path.clone(), Entry::Directory);
    }

    /// A symbolic link to `target` was made; `None` if it is gone already.
    pub fn symlinked(&self, path: &WorkspacePath, target: Option<&[u8]>) {
        let blob = target.map(|t| self.format.blob_of(t));
        self.lock().insert(path.clone(), Entry::Symlink(blob));
    }

    /// A fifo, socket or device was made.
    pub fn special_made(&self, path: &WorkspacePath) {
        self.lock().insert(path.clone(), Entry::Other);
    }

    /// A hard link `path` to the file that also is called `target` was made. Without a known `target` the file is
    /// hashed through `file`.
    pub fn linked(
        &self,
        path: &WorkspacePath,
        target: Option<&WorkspacePath>,
        file: Option<BorrowedFd<'_>>,
    ) {
        let known = target.and_then(|t| self.lock().get(t).cloned());
        let hashed = file.and_then(|f| self.hash(f, self.limits.closed)).map(Entry::written);
        if let Some(target) = target {
            self.lock_links().join(path, target);
        }
        match (known, hashed) {
            (_, Some(version)) => {
                self.put(path, version);
            }
            // The other names have it already.
            (Some(entry), None) => {
                self.lock().insert(path.clone(), entry.into_written());
            }
            (None, None) => {
                self.put(path, Entry::written(Version::default()));
            }
        }
    }

    /// `from` was renamed to `to`, with everything below it. `directory` tells what it is where no event told before.
    pub fn renamed(&self, from: &WorkspacePath, to: &WorkspacePath, directory: bool) -> Renamed {
        let mut entries = self.lock();
        self.lock_links().renamed(from, to);
        let replaced = entries.remove(to).and_then(|e| e.read());
        let entry = match entries.remove(from) {
            Some(entry) => entry,
            None if directory => Entry::Directory,
            None => Entry::Unseen,
        };
        let kind = if directory { FileKind::Directory } else { entry.kind() };
        if directory {
            versions::move_below(&mut entries, from, to);
        }
        entries.insert(to.clone(), entry.into_written());
        Renamed { kind, replaced }
    }

    /// `a` and `b` changed places, with everything below them. The kind tells what each was where no event told before.
    pub fn exchanged(
        &self,
        (a, a_kind): (&WorkspacePath, FileKind),
        (b, b_kind): (&WorkspacePath, FileKind),
    ) {
        let mut entries = self.lock();
        self.lock_links().exchanged(a, b);
        for (path, kind) in [(a, a_kind), (b, b_kind)] {
            if kind == FileKind::Directory {
                entries.insert(path.clone(), Entry::Directory);
            } else {
                entries.entry(path.clone()).or_insert(Entry::Unseen);
            }
        }
        versions::exchange(&mut entries, a, b);
    }

    /// `path` was removed, with everything below it. `directory` tells what it was where no event told before.
    pub fn removed(&self, path: &WorkspacePath, directory: bool) -> Removed {
        let entry = self.lock().remove(path);
        self.lock_links().leave(path);
        let kind = match &entry {
            _ if directory => FileKind::Directory,
            Some(entry) => entry.kind(),
            None => FileKind::File,
        };
        let before = match entry {
            Some(entry) => entry.read(),
            None if kind == FileKind::File => Some(FileRead::default()),
            None => None,
        };
        Removed { kind, before }
    }

    /// The paths that are known below a directory.
    #[must_use]
    pub fn below(&self, directory: &WorkspacePath) -> Vec<WorkspacePath> {
        let entries = self.lock();
        entries.keys().filter(|p| *p != directory && p.starts_with(directory)).cloned().collect()
    }

    /// What is known of a path.
    pub(crate) fn entry(&self, path: &WorkspacePath) -> Option<Entry> {
        self.lock().get(path).cloned()
    }

    /// Undoes what a look at the file system taught of a path, and of the other names of the file, because it came too early.
    pub(crate) fn restore(&self, path: &WorkspacePath, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.put(path, entry),
            None => self.lock().remove(path),
        };
    }

    /// Everything that events tell of, with what they tell.
    pub(crate) fn entries(&self) -> HashMap<WorkspacePath, Entry> {
        self.lock().clone()
    }

    /// Nothing of the session runs any more: from now on at most [`HashLimits::end`] bytes are hashed. Does nothing when
    /// it is called again.
    pub fn end(&self) {
        self.budget.limit(self.limits.end);
    }

    /// Files that got no digest because the limit of the end was reached.
    #[must_use]
    pub fn unhashed(&self) -> u64 {
        self.budget.refused()
    }

    /// Whether so many bytes may still be hashed. The caller hashes them then.
    pub(crate) fn may_hash(&self, bytes: u64) -> bool {
        self.budget.spend(bytes)
    }

    fn hash(&self, file: BorrowedFd<'_>, limit: u64) -> Option<Version> {
        let stat: FileStat = nix::sys::stat::fstat(file).ok()?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return None;
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if size <= limit && !self.may_hash(size) {
            return Some(Version::unread(&stat));
        }
        let Ok(readable) = reopen_for_reading(file) else {
            return Some(Version::unread(&stat));
        };
        Some(match hash_file(readable.as_fd(), self.format, limit) {
            Ok(hashed) => Version::from(hashed),
            Err(_) => Version::unread(&stat),
        })
    }

    /// Another known path of the open file, found by its inode: for a file that was linked before it was ever opened.
    #[must_use]
    pub(crate) fn other_name(
        &self,
        path: &WorkspacePath,
        file: BorrowedFd<'_>,
    ) -> Option<WorkspacePath> {
        let inode = |fd: BorrowedFd<'_>| {
            nix::sys::stat::fstat(fd).ok().map(|stat| (stat.st_dev, stat.st_ino))
        };
        let (wanted, size) = (inode(file)?, nix::sys::stat::fstat(file).ok()?.st_size);
        let mut candidates: Vec<(bool, bool, WorkspacePath)> = {
            let entries = self.lock();
            let files = entries.iter().filter(|(p, entry)| *p != path && entry.read().is_some());
            let name = path.as_path().file_name();
            files
                .map(|(p, entry)| {
                    let known = entry.read().and_then(|r| r.size);
                    let same_size = known.is_some_and(|s| i64::try_from(s) == Ok(size));
                    // The likeliest first: copies of trees by links keep the names.
                    (p.as_path().file_name() != name, !same_size, p.clone())
                })
                .collect()
        };
        candidates.sort();
        let mut candidates = candidates.into_iter().map(|(_, _, p)| p).take(MAX_NAMES_TRIED);
        candidates.find(|candidate| {
            path_beneath(self.root.as_fd(), candidate)
                .is_ok_and(|found| inode(found.as_fd()) == Some(wanted))
        })
    }

    /// Sets what stands at a path, and at the other names of the same file. Returns what stood there.
    fn put(&self, path: &WorkspacePath, entry: Entry) -> Option<Entry> {
        let mut entries = self.lock();
        for other in self.lock_links().others(path) {
            entries.insert(other, entry.clone());
        }
        entries.insert(path.clone(), entry)
    }

    fn lock_links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspacePath, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two versions are known to have the same content.
pub(crate) fn same_content(a: &FileRead, b: &FileRead) -> bool {
    match (a.digest, b.digest) {
        (Some(a), Some(b)) => a == b,
        (None, _) | (_, None) => a.git_blob.is_some() && a.git_blob == b.git_blob,
    }
}

#[cfg(test)]
mod tests;
