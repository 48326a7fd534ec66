//! The workspace against the record, after the sandbox ended: the upper layer of the overlay is walked, and each
//! entry must be what the last event on its path tells.
//!
//! It needs the mounted overlay, for one view of both layers: after a keeper's crash the caller mounts the same layers
//! again (a dead keeper leaves no mount), builds [`Contents`] from the same base and replays the record into it, in which
//! paths may be redacted ([`Spelling`]).
//! Nothing else may change the workspace meanwhile.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use custody_model::path::MAX_PATH_BYTES;
use custody_model::{Digest, WorkspacePath};
use custody_record::event::{Difference, DifferenceKind, FileKind, FileRead, WorkspaceCompared};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{FileStat, fstat};

use crate::content::{Contents, Entry, hash_file, open_beneath, path_beneath, reopen_for_reading};
use crate::layer::{is_whiteout, kind_of, leads_to, overlay_attribute};
use crate::spelling::Spelling;

/// Differences that are named; the rest is counted.
pub const MAX_DIFFERENCES: usize = 200;

/// Characters of a path that a sentence names.
const NAMED_CHARS: usize = 200;

/// Deepest directory, counted from the root of the workspace, whose entries are compared. To look at something costs as
/// many look-ups as it is deep.
pub const MAX_COMPARED_DEPTH: usize = 256;

/// A comparison, and what it left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The event.
    pub told: WorkspaceCompared,
    /// What was not compared, in words: each is a `recorder.gap`.
    pub gaps: Vec<String>,
}

/// Why the workspace could not be compared.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be compared with the record")]
pub struct CompareError {
    path: WorkspacePath,
    #[source]
    source: Errno,
}

/// Compares `upper`, the root of the upper layer (opened for reading), with what events tell. `recorded` is how the paths of
/// `contents` are spelled, and those of the differences.
///
/// Every file of the upper layer is hashed again, whatever its times say: a write through a mapping need not change
/// them. What is too deep, or more than may be hashed at the end, is left out and told.
///
/// # Errors
/// A directory or a file can't be read.
pub fn compare(
    upper: BorrowedFd<'_>,
    contents: &Contents,
    recorded: Spelling<'_>,
) -> Result<Compared, CompareError> {
    contents.end();
    let mut comparison = Comparison {
        upper,
        contents,
        recorded,
        entries: 0,
        found: HashSet::new(),
        hidden: HashSet::new(),
        differences: Vec::new(),
        count: 0,
        deep: 0,
        first_deep: None,
    };
    comparison.layer()?;
    comparison.missing();
    comparison.differences.sort_by(|a, b| a.path.cmp(&b.path));
    comparison.differences.truncate(MAX_DIFFERENCES);
    let gaps = comparison.left_out();
    let told = WorkspaceCompared {
        entries: comparison.entries,
        differences: comparison.differences,
        difference_count: comparison.count,
    };
    Ok(Compared { told, gaps })
}

struct Comparison<'a> {
    upper: BorrowedFd<'a>,
    contents: &'a Contents,
    /// From what the workspace has to what `contents`, `found`, `hidden` and the differences say.
    recorded: Spelling<'a>,
    entries: u64,
    /// What stands in the workspace, as far as it was looked at.
    found: HashSet<WorkspacePath>,
    /// Where the upper layer hides what the base has: whiteouts and opaque directories.
    hidden: HashSet<WorkspacePath>,
    differences: Vec<Difference>,
    count: u64,
    /// Directories that were not looked into, because they or what they hold are too deep.
    deep: u64,
    first_deep: Option<WorkspacePath>,
}

impl Comparison<'_> {
    /// Walks what the session changed.
    fn layer(&mut self) -> Result<(), CompareError> {
        let mut open = vec![WorkspacePath::root()];
        while let Some(directory) = open.pop() {
            for path in self.list(self.upper, &directory)? {
                let recorded = self.recorded;
                let failed = |source| failed(recorded, &path, source);
                let upper = path_beneath(self.upper, &path).map_err(failed)?;
                let stat = fstat(upper.as_fd()).map_err(failed)?;
                self.entries += 1;
                if is_whiteout(upper.as_fd(), &stat).map_err(failed)? {
                    self.hidden.insert(self.recorded.path(&path));
                } else if kind_of(&stat) == libc::S_IFDIR {
                    self.directory(&path, upper.as_fd())?;
                    open.push(path);
                } else {
                    self.entry(&path, &stat)?;
                }
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        path: &WorkspacePath,
        upper: BorrowedFd<'_>,
    ) -> Result<(), CompareError> {
        let recorded = self.recorded;
        let failed = |source| failed(recorded, path, source);
        let redirect = overlay_attribute(upper, c"trusted.overlay.redirect").map_err(failed)?;
        // Overlayfs also notes where a directory of the base is that never moved.
        let redirected = redirect.is_some_and(|value| !leads_to(&value, path));
        let copied = overlay_attribute(upper, c"trusted.overlay.origin").map_err(failed)?;
        let opaque = overlay_attribute(upper, c"trusted.overlay.opaque").map_err(failed)?;
        let told = self.recorded.path(path);
        if opaque.is_some_and(|value| value == b"y") {
            self.hidden.insert(told.clone());
        }
        match self.contents.kind(&told) {
            Some(FileKind::Directory) => {}
            Some(FileKind::File | FileKind::Symlink | FileKind::Other) => {
                self.differs(&told, DifferenceKind::Differs, None);
            }
            // A directory of the base is copied up when something in it changes: no news. One that was renamed is.
            None if copied.is_some() && !redirected => {}
            // It went along with one that events tell of.
            None if copied.is_some() && self.is_below_told(&told) => {}
            None => self.differs(&told, DifferenceKind::Unrecorded, None),
        }
        self.found.insert(told);
        if redirected {
            // What lies below comes from another place of the base: it is seen through the mount alone.
            self.view(path)?;
        }
        Ok(())
    }

    /// Whether a directory that came to be in this session, or to its place, holds the path.
    fn is_below_told(&self, path: &WorkspacePath) -> bool {
        let told = |above: WorkspacePath| self.contents.kind(&above) == Some(FileKind::Directory);
        ancestors(path).skip(1).any(told)
    }

    /// Walks a directory of the mounted overlay.
    fn view(&mut self, root: &WorkspacePath) -> Result<(), CompareError> {
        let mut open = vec![root.clone()];
        while let Some(directory) = open.pop() {
            for path in self.list(self.contents.root(), &directory)? {
                let recorded = self.recorded;
                let failed = |source| failed(recorded, &path, source);
                let found = path_beneath(self.contents.root(), &path).map_err(failed)?;
                let stat = fstat(found.as_fd()).map_err(failed)?;
                self.entries += 1;
                if kind_of(&stat) == libc::S_IFDIR {
                    // A directory of the base has no entry of its own: its files tell of it.
                    self.found.insert(self.recorded.path(&path));
                    open.push(path);
                } else {
                    self.entry(&path, &stat)?;
                }
            }
        }
        Ok(())
    }

    /// Compares what stands at a path, other than a directory.
    fn entry(&mut self, path: &WorkspacePath, stat: &FileStat) -> Result<(), CompareError> {
        let at = self.recorded.path(path);
        if !self.found.insert(at.clone()) {
            return Ok(());
        }
        let failed = |source| CompareError { path: at.clone(), source };
        let entry = self.contents.entry(&at);
        match (kind_of(stat), entry) {
            (libc::S_IFREG, entry) => {
                let told = entry.as_ref().and_then(Entry::read);
                let found = self.hash(path).map_err(failed)?;
                let digest = found.as_ref().and_then(|f| f.digest);
                match (entry, told, found) {
                    (None, _, _) => self.differs(&at, DifferenceKind::Unrecorded, digest),
                    (Some(_), Some(told), Some(found)) if agree(&told, &found) => {}
                    (Some(_), _, _) => self.differs(&at, DifferenceKind::Differs, digest),
                }
            }
            (libc::S_IFLNK, Some(Entry::Symlink(None))) => {}
            (libc::S_IFLNK, Some(Entry::Symlink(Some(told)) | Entry::BaseSymlink(told))) => {
                let link = path_beneath(self.contents.root(), path).map_err(failed)?;
                let target = readlinkat(link, "").map_err(failed)?;
                let target = target.as_encoded_bytes();
                let blob = |target: &[u8]| self.contents.format().blob_of(target);
                // The base's links are known by their true targets.
                let as_told = || self.recorded.target(target).is_some_and(|t| blob(&t) == told);
                if blob(target) != told && !as_told() {
                    self.differs(&at, DifferenceKind::Differs, None);
                }
            }
            (
                libc::S_IFIFO | libc::S_IFSOCK | libc::S_IFCHR | libc::S_IFBLK,
                Some(Entry::Other),
            ) => {}
            (_, None) => self.differs(&at, DifferenceKind::Unrecorded, None),
            // Another kind of thing than events tell of.
            (_, Some(_)) => self.differs(&at, DifferenceKind::Differs, None),
        }
        Ok(())
    }

    /// What events tell of must be there.
    fn missing(&mut self) {
        let mut expected: Vec<(WorkspacePath, Entry)> =
            self.contents.entries().into_iter().collect();
        expected.retain(|(path, entry)| {
            !self.found.contains(path)
                && (entry.is_of_session() || ancestors(path).any(|a| self.hidden.contains(&a)))
        });
        for (path, _) in expected {
            if path_beneath(self.contents.root(), &path).is_err() {
                self.differs(&path, DifferenceKind::Missing, None);
            }
        }
    }

    fn hash(&self, path: &WorkspacePath) -> Result<Option<FileRead>, Errno> {
        let file = path_beneath(self.contents.root(), path)?;
        let size = u64::try_from(fstat(file.as_fd())?.st_size).unwrap_or(0);
        if size <= self.contents.limits().closed && !self.contents.may_hash(size) {
            return Ok(Some(FileRead { size: Some(size), ..FileRead::default() }));
        }
        let file = reopen_for_reading(file.as_fd())?;
        let hashed =
            hash_file(file.as_fd(), self.contents.format(), self.contents.limits().closed)?;
        let (digest, git_blob) = hashed.names.unzip();
        Ok(Some(FileRead { digest, git_blob, size: Some(hashed.size) }))
    }

    /// The entries of a directory; none of one that is too deep.
    fn list(
        &mut self,
        root: BorrowedFd<'_>,
        directory: &WorkspacePath,
    ) -> Result<Vec<WorkspacePath>, CompareError> {
        let recorded = self.recorded;
        let failed = |source| failed(recorded, directory, source);
        let depth = directory.as_bytes().iter().filter(|b| **b == b'/').count() + 1;
        if depth > MAX_COMPARED_DEPTH {
            self.too_deep(directory);
            return Ok(Vec::new());
        }
        let fd =
            open_beneath(root, directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
        let mut listing = Dir::from_fd(fd).map_err(failed)?;
        let mut paths = Vec::new();
        let mut whole = true;
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            match directory.join(name) {
                // With its end the kernel takes no path of more bytes than this.
                Ok(path) if path.as_bytes().len() < MAX_PATH_BYTES => paths.push(path),
                Ok(_) | Err(_) => whole = false,
            }
        }
        if !whole {
            self.too_deep(directory);
        }
        Ok(paths)
    }

    fn too_deep(&mut self, directory: &WorkspacePath) {
        self.deep += 1;
        let recorded = self.recorded;
        self.first_deep.get_or_insert_with(|| recorded.path(directory));
    }

    /// What was not compared, in words.
    fn left_out(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        if let Some(first) = &self.first_deep {
            let mut first = first.to_text().into_owned();
            if let Some((end, _)) = first.char_indices().nth(NAMED_CHARS) {
                // Where a name ends: half a name may be half a credential, which nothing knows for one.
                first.truncate(first[..end].rfind('/').map_or(0, |at| at + 1));
                first.push('…');
            }
            let deep = self.deep;
            gaps.push(format!(
                "what is deeper than {MAX_COMPARED_DEPTH} directories or has a path of {MAX_PATH_BYTES} bytes or more \
                 was not compared with the record: {deep} directories, the first is {first}"
            ));
        }
        let unhashed = self.contents.unhashed();
        if unhashed > 0 {
            let limit = self.contents.limits().end;
            gaps.push(format!(
                "{unhashed} times a file was not hashed after the session had ended, because that had been done with \
                 {limit} bytes: of these files only the sizes were compared"
            ));
        }
        gaps
    }

    fn differs(&mut self, path: &WorkspacePath, kind: DifferenceKind, found: Option<Digest>) {
        self.count += 1;
        self.differences.push(Difference { path: path.clone(), kind, found });
    }
}

/// Whether a file has the content that events tell of. What has no digest on either side is too large to be hashed:
/// its size must do.
fn agree(told: &FileRead, found: &FileRead) -> bool {
    match (told.digest, found.digest) {
        (Some(told), Some(found)) => told == found,
        (None, Some(_)) => told.git_blob.is_some() && told.git_blob == found.git_blob,
        (Some(_) | None, None) => told.size.is_some() && told.size == found.size,
    }
}

/// The error names the path as the record does.
fn failed(recorded: Spelling<'_>, path: &WorkspacePath, source: Errno) -> CompareError {
    CompareError { path: recorded.path(path), source }
}

/// The path itself and what it lies below.
fn ancestors(path: &WorkspacePath) -> impl Iterator<Item = WorkspacePath> {
    std::iter::successors(Some(path.clone()), WorkspacePath::parent)
}
