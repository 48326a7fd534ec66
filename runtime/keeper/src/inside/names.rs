//! Renames and removals of guarded mount points: the kernel refuses them with EBUSY, and neither the guard nor the
//! observer hears of it. So they are looked at before they happen, and refused here.
//!
//! A caller can change the path while it is being read. All that it wins is that an attempt is not on record which the
//! kernel refuses anyway.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use custody_model::WorkspacePath;
use custody_record::event::FileDenied;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstat;

use super::memory::{Memory, MemoryError};
use super::seccomp::{Name, Place};

/// Longest path, in bytes (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;

/// The guarded mount points of one session.
#[derive(Debug, Default)]
pub struct GuardedNames {
    points: Vec<Point>,
    /// Their last components: what ends otherwise is none of them.
    names: HashSet<Vec<u8>>,
}

#[derive(Debug)]
struct Point {
    path: WorkspacePath,
    rule: String,
    /// Device and inode of what is mounted there: the guard's, which no other path shows.
    device: u64,
    inode: u64,
}

impl GuardedNames {
    /// Takes the mount points `paths` of the workspace that is mounted at `view`, each with the rule that guards it.
    ///
    /// # Errors
    /// A mount point can't be looked at.
    pub fn of(
        view: &Path,
        paths: impl IntoIterator<Item = (WorkspacePath, String)>,
    ) -> std::io::Result<Self> {
        let mut guarded = Self::default();
        let root = File::open(view)?;
        for (path, rule) in paths {
            let how = OpenHow::new()
                .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
                .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
            let found = fstat(openat2(root.as_fd(), path.as_path(), how)?)?;
            guarded.names.insert(last(path.as_bytes()).to_vec());
            let (device, inode) = (found.st_dev, found.st_ino);
            guarded.points.push(Point { path, rule, device, inode });
        }
        Ok(guarded)
    }

    /// Whether nothing is guarded: then nothing need be watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// What thread `tid` is about to be refused, if its call names a guarded mount point.
    pub(super) fn refused(&self, tid: u32, call: &Name) -> Result<Option<FileDenied>, MemoryError> {
        let mut memory = Memory::open(tid)?;
        for place in [Some(call.from), call.to].into_iter().flatten() {
            let Some(path) = memory.string(place.path, MAX_PATH_BYTES)? else { continue };
            if !self.names.contains(last(&path)) {
                continue;
            }
            if let Some(point) = self.find(tid, place, &path) {
                return Ok(Some(FileDenied {
                    path: point.path.clone(),
                    operation: call.operation,
                    target: None,
                    rule: point.rule.clone(),
                    errno: "EBUSY".to_owned(),
                    count: 1,
                }));
            }
        }
        Ok(None)
    }

    /// The guarded mount point that a path of `tid` ends at, if it does. What can't be resolved is none.
    fn find(&self, tid: u32, place: Place, path: &[u8]) -> Option<&Point> {
        let start = match place.directory {
            _ if path.starts_with(b"/") => format!("/proc/{tid}/root"),
            Some(fd) => format!("/proc/{tid}/fd/{fd}"),
            None => format!("/proc/{tid}/cwd"),
        };
        // By O_PATH: an open of what is no directory could wait for ever.
        let start = File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(start)
            .ok()?;
        // As the caller's own walk would go: absolute links start at its root. The last component is not followed.
        let mut resolve = ResolveFlag::RESOLVE_NO_MAGICLINKS;
        if path.starts_with(b"/") {
            resolve |= ResolveFlag::RESOLVE_IN_ROOT;
        }
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(resolve);
        let path = Path::new(std::ffi::OsStr::from_bytes(trimmed(path)));
        let found = fstat(openat2(start.as_fd(), path, how).ok()?).ok()?;
        self.points.iter().find(|p| (p.device, p.inode) == (found.st_dev, found.st_ino))
    }
}

/// Without slashes at the end, which make no difference to what is named.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

/// The last component.
fn last(path: &[u8]) -> &[u8] {
    let path = trimmed(path);
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// What the caller is told.
pub(super) const REFUSED: Errno = Errno::EBUSY;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_is_what_a_path_ends_in() {
        assert_eq!(last(b"/workspace/secrets//"), b"secrets");
        assert_eq!(last(b".env"), b".env");
        assert_eq!(last(b"/"), b"");
        assert_eq!(last(b""), b"");
    }
}
