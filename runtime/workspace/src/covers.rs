//! What git opens in a work tree by its name, whatever it is. For a pipe it would wait for ever; a large file, which may
//! take no room on disk at all, it would hold in memory; and a repository inside of the work tree it would ask what
//! its HEAD is, wherever that leads.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_model::WorkspacePath;
use custody_record::event::PolicyViolated;
use nix::dir::{Dir, Type};
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use crate::gate::violation;
use crate::layer::Within;
use crate::mount::beneath;

/// Most places that are covered: each costs a mount.
const MAX_COVERED: usize = 10_000;

const READ_BY_GIT: [&[u8]; 3] = [b".gitignore", b".gitattributes", b".gitmodules"];
const DOT_GIT: &[u8] = b".git";
/// What the `.git` file of a linked work tree has in the path that it names.
const LINKED: &[u8] = b"/worktrees/";
/// Longest `.git` file that is read, in bytes.
const MAX_LINK_BYTES: u64 = 4096;

/// What is told of a directory in whose depth git can't name anything any more.
const TOO_DEEP: &str = "what is in it has a path that is too long, and stays out of the outputs";

/// Why a work tree can't be given to git.
#[derive(Debug)]
pub(crate) struct CoverError {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Those that git must not read, covered by nothing in this mount namespace until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Covers {
    covered: Vec<OwnedFd>,
    nested: Vec<Nested>,
}

/// A directory that is a repository of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nested {
    pub(crate) path: WorkspacePath,
    /// It is a work tree that is linked to another repository (`git worktree add`), and no repository itself.
    pub(crate) linked: bool,
}

/// Where and how to cover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covering<'a> {
    /// The root of the work tree, in which nothing moves any more, or nobody minds.
    pub(crate) root: &'a Path,
    /// An empty directory.
    pub(crate) nothing: &'a Path,
    /// Bytes of the largest file of patterns or attributes that git may read.
    pub(crate) pattern_file_bytes: u64,
    /// Where git is to look: what is elsewhere is not covered, but for the directories above.
    pub(crate) within: &'a Within,
}

/// What a name needs.
struct Found {
    is_directory: bool,
    /// Why it is covered, if it is.
    why: Option<String>,
}

impl Covers {
    /// Finds and covers them all.
    ///
    /// Everything is opened below the root's descriptor, as git does from its working directory: a path that is too
    /// long from the machine's root may not be so from the workspace's.
    pub(crate) fn cover(
        covering: Covering<'_>,
        violations: &mut Vec<PolicyViolated>,
    ) -> Result<Self, CoverError> {
        // By its path, because a clean view's own descriptor is of a mount that is not attached, and takes no mounts.
        let failed = |source| CoverError { path: covering.root.to_owned(), source };
        let root = File::open(covering.root).map_err(failed)?;
        let mut covers = Self::default();
        let mut waiting = Walk::of(covering.within);
        while let Some((directory, deeper)) = waiting.next() {
            let failed = |source| {
                let path = covering.root.join(directory.as_path());
                CoverError { path, source }
            };
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            let opened = match beneath(root.as_fd(), directory.as_path().as_os_str(), flags) {
                Ok(opened) => opened,
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                    violations.push(violation(&directory, TOO_DEEP));
                    continue;
                }
                // Nothing is there any more, or a file.
                Err(error)
                    if waiting.is_bounded()
                        && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) =>
                {
                    continue;
                }
                // Another file system, which is none of git's business; a checkout of somebody's may have one.
                Err(error) if error.raw_os_error() == Some(libc::EXDEV) => continue,
                Err(error) => return Err(failed(error)),
            };
            let listed = opened.try_clone().map_err(failed)?;
            let mut listed = Dir::from_fd(listed).map_err(|errno| failed(errno.into()))?;
            let mut too_deep = false;
            for entry in listed.iter() {
                let entry = entry.map_err(|errno| failed(errno.into()))?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." || (name == DOT_GIT && directory.is_root()) {
                    continue;
                }
                let Ok(path) = directory.join(name) else {
                    too_deep = true;
                    continue;
                };
                if name == DOT_GIT {
                    if let Some(linked) = repository(opened.as_fd()).map_err(failed)? {
                        covers.nested.push(Nested { path: directory.clone(), linked });
                    }
                    covers.cover_one(opened.as_fd(), name, covering.nothing).map_err(failed)?;
                    continue;
                }
                let found = look(opened.as_fd(), name, entry.file_type(), covering);
                let Found { is_directory, why } = found.map_err(failed)?;
                if is_directory {
                    if deeper {
                        waiting.push(path);
                    }
                } else if let Some(why) = why {
                    covers.cover_one(opened.as_fd(), name, covering.nothing).map_err(failed)?;
                    violations.push(violation(&path, why));
                }
            }
            if too_deep {
                violations.push(violation(&directory, TOO_DEEP));
            }
        }
        Ok(covers)
    }

    /// The directories that are repositories of their own. Git does not see any more that they are.
    pub(crate) fn nested(&self) -> &[Nested] {
        &self.nested
    }

    /// The same, by their paths.
    pub(crate) fn nested_paths(&self) -> Vec<WorkspacePath> {
        self.nested.iter().map(|nested| nested.path.clone()).collect()
    }

    fn cover_one(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        nothing: &Path,
    ) -> io::Result<()> {
        if self.covered.len() >= MAX_COVERED {
            let text = format!("more than {MAX_COVERED} names would have to be hidden from git");
            return Err(io::Error::other(text));
        }
        let covered = place(directory, name)?;
        let is_directory = File::from(covered.try_clone()?).metadata()?.is_dir();
        let cover = if is_directory { nothing } else { Path::new("/dev/null") };
        let none: Option<&str> = None;
        mount(Some(cover), &by_descriptor(&covered), none, MsFlags::MS_BIND, none)?;
        self.covered.push(place(directory, name)?);
        Ok(())
    }
}

/// The directories that are looked at, each once.
struct Walk {
    /// And whether what is below is looked at as well.
    waiting: Vec<(WorkspacePath, bool)>,
    bounded: bool,
}

impl Walk {
    fn of(within: &Within) -> Self {
        let Within::Places(places) = within else {
            return Self { waiting: vec![(WorkspacePath::root(), true)], bounded: false };
        };
        let mut waiting: BTreeMap<WorkspacePath, bool> = BTreeMap::new();
        for place in places {
            let above = std::iter::successors(place.parent(), WorkspacePath::parent);
            // Something above it is a place of its own, with all that it holds.
            if above.clone().any(|above| places.contains(&above)) {
                continue;
            }
            waiting.extend(above.map(|above| (above, false)));
            waiting.insert(place.clone(), true);
        }
        Self { waiting: waiting.into_iter().collect(), bounded: true }
    }

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn push(&mut self, directory: WorkspacePath) {
        self.waiting.push((directory, true));
    }

    fn next(&mut self) -> Option<(WorkspacePath, bool)> {
        self.waiting.pop()
    }
}

fn look(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: Option<Type>,
    covering: Covering<'_>,
) -> io::Result<Found> {
    let read_by_git = READ_BY_GIT.contains(&name);
    if !read_by_git && kind.is_some() {
        return Ok(Found { is_directory: kind == Some(Type::Directory), why: None });
    }
    let found = File::from(place(directory, name)?).metadata()?;
    let limit = covering.pattern_file_bytes;
    let why = if !read_by_git || found.is_dir() || found.is_symlink() {
        None
    } else if !found.is_file() {
        Some("it is neither a file nor a link".to_owned())
    } else if found.len() > limit {
        Some(format!("it is larger than {limit} bytes: git is not given it to read"))
    } else {
        None
    };
    Ok(Found { is_directory: found.is_dir(), why })
}

/// Whether the `.git` in a directory is that of a repository: its git directory, or a file that names one; and in the second
/// case, whether it is that of a linked work tree.
fn repository(directory: BorrowedFd<'_>) -> io::Result<Option<bool>> {
    let dot_git = place(directory, DOT_GIT)?;
    let found = File::from(dot_git.try_clone()?).metadata()?;
    if found.is_dir() {
        let parts = [&b"HEAD"[..], b"objects", b"refs"];
        let whole = parts.iter().all(|name| place(dot_git.as_fd(), name).is_ok());
        return Ok(whole.then_some(false));
    }
    if !found.is_file() {
        return Ok(found.is_symlink().then_some(false));
    }
    let file = beneath(directory, OsStr::from_bytes(DOT_GIT), libc::O_RDONLY | libc::O_NONBLOCK)?;
    let mut text = Vec::new();
    File::from(file).take(MAX_LINK_BYTES).read_to_end(&mut text)?;
    let linked = text.windows(LINKED.len()).any(|part| part == LINKED);
    Ok(Some(linked))
}

/// What stands there now, without following a link.
fn place(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(directory, OsStr::from_bytes(name), flags, Mode::empty())?)
}

/// A path to what a descriptor is open on, for calls that take paths alone.
fn by_descriptor(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

impl Drop for Covers {
    fn drop(&mut self) {
        for cover in &self.covered {
            match umount2(&by_descriptor(cover), MntFlags::MNT_DETACH) {
                Ok(()) => {}
                Err(errno) => tracing::warn!(%errno, "a covered file stays covered"),
            }
        }
    }
}
