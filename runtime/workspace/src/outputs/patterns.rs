//! The files of a work tree that git opens by their names, whatever they are: for a pipe it would wait for ever, and a
//! large one, which may take no room on disk at all, it would hold in memory.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use custody_model::WorkspacePath;
use custody_record::event::PolicyViolated;
use nix::dir::{Dir, Type};
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use super::{OutputError, OutputRequest};
use crate::gate::violation;
use crate::mount::beneath;

const READ_BY_GIT: [&[u8]; 3] = [b".gitignore", b".gitattributes", b".gitmodules"];

/// What is told of a directory in whose depth git can't name anything any more.
const TOO_DEEP: &str = "what is in it has a path that is too long, and stays out of the outputs";

/// Those that git must not read, covered by an empty file in this mount namespace until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// The covers.
    covered: Vec<OwnedFd>,
}

impl Patterns {
    /// Finds and covers them all. The sandbox has ended: nothing moves any more.
    ///
    /// Everything is opened below the root's descriptor, as git does from its working directory: a path that is too
    /// long from the machine's root may not be so from the workspace's.
    pub(super) fn cover(
        request: &OutputRequest<'_>,
        violations: &mut Vec<PolicyViolated>,
    ) -> Result<Self, OutputError> {
        // By its path, because the clean view's own descriptor is of a mount that is not attached, and takes no mounts.
        let failed = |source| OutputError::File { path: request.clean_path.to_owned(), source };
        let root = File::open(request.clean_path).map_err(failed)?;
        let mut patterns = Self::default();
        let mut waiting = vec![WorkspacePath::root()];
        while let Some(directory) = waiting.pop() {
            let failed = |source: io::Error| {
                let path: PathBuf = request.clean_path.join(directory.as_path());
                OutputError::File { path, source }
            };
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            let opened = match beneath(root.as_fd(), directory.as_path().as_os_str(), flags) {
                Ok(opened) => opened,
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                    violations.push(violation(&directory, TOO_DEEP));
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let listed = opened.try_clone().map_err(failed)?;
            let mut listed = Dir::from_fd(listed).map_err(|errno| failed(errno.into()))?;
            let mut too_deep = false;
            for entry in listed.iter() {
                let entry = entry.map_err(|errno| failed(errno.into()))?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let Ok(path) = directory.join(name) else {
                    too_deep = true;
                    continue;
                };
                let read_by_git = READ_BY_GIT.contains(&name);
                let asked = read_by_git || entry.file_type().is_none();
                let (is_directory, why) = if asked {
                    let found = place(opened.as_fd(), name).and_then(|f| File::from(f).metadata());
                    let found = found.map_err(failed)?;
                    let limit = request.limits.pattern_file_bytes;
                    let why = if found.is_dir() || found.is_symlink() {
                        None
                    } else if !found.is_file() {
                        Some("it is neither a file nor a link".to_owned())
                    } else if found.len() > limit {
                        Some(format!(
                            "it is larger than {limit} bytes: git is not given it to read"
                        ))
                    } else {
                        None
                    };
                    (found.is_dir(), why)
                } else {
                    (entry.file_type() == Some(Type::Directory), None)
                };
                if is_directory {
                    if path.as_bytes() != b".git" {
                        waiting.push(path);
                    }
                } else if let Some(why) = why.filter(|_| read_by_git) {
                    patterns.cover_one(opened.as_fd(), name).map_err(failed)?;
                    violations.push(violation(&path, why));
                }
            }
            if too_deep {
                violations.push(violation(&directory, TOO_DEEP));
            }
        }
        Ok(patterns)
    }

    fn cover_one(&mut self, directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        let covered = place(directory, name)?;
        let none: Option<&str> = None;
        mount(Some("/dev/null"), &by_descriptor(&covered), none, MsFlags::MS_BIND, none)?;
        self.covered.push(place(directory, name)?);
        Ok(())
    }
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

impl Drop for Patterns {
    fn drop(&mut self) {
        for cover in &self.covered {
            match umount2(&by_descriptor(cover), MntFlags::MNT_DETACH) {
                Ok(()) => {}
                Err(errno) => tracing::warn!(%errno, "a covered file stays covered"),
            }
        }
    }
}
