//! What would make git wait in somebody's git directory: a pipe or a device in the place of any file of it. (A socket is
//! refused at once, and git keeps one there itself, for its file system monitor.)

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlink};
use nix::sys::stat::fstatat;

use crate::descent::{self, Visitor};
use crate::regular;

/// Longest `objects/info/alternates` that is read, in bytes.
const MAX_ALTERNATES_BYTES: u64 = 1 << 20;
/// How far alternates of alternates are followed, as git does.
const MAX_ALTERNATES_DEPTH: usize = 5;

/// The first such file in a git directory or in the object directories that it borrows from.
pub(super) fn find(git_dir: &Path) -> io::Result<Option<PathBuf>> {
    let mut waiting = vec![(git_dir.to_owned(), git_dir.join("objects"), 0)];
    while let Some((directory, objects, depth)) = waiting.pop() {
        if let Some(found) = below(&directory)? {
            return Ok(Some(found));
        }
        let alternates = match regular::read(&objects.join("info/alternates"), MAX_ALTERNATES_BYTES)
        {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let lines = alternates.split(|b| *b == b'\n');
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
            let place = objects.join(OsStr::from_bytes(line));
            if depth < MAX_ALTERNATES_DEPTH && place.is_dir() {
                waiting.push((place.clone(), place, depth + 1));
            }
        }
    }
    Ok(None)
}

fn below(directory: &Path) -> io::Result<Option<PathBuf>> {
    let mut traps = Traps { found: None };
    let root = std::fs::File::open(directory)?;
    match descent::walk(std::os::fd::AsFd::as_fd(&root), &mut traps) {
        Ok(()) => Ok(None),
        Err(errno) => traps.found.map(Some).ok_or_else(|| errno.into()),
    }
}

struct Traps {
    found: Option<PathBuf>,
}

impl Visitor for Traps {
    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: Option<Type>,
    ) -> Result<(), Errno> {
        let harmless = match kind {
            Some(Type::Directory | Type::File | Type::Socket) | None => true,
            Some(Type::Fifo | Type::CharacterDevice | Type::BlockDevice) => false,
            // A look at what it leads to does not open it.
            Some(Type::Symlink) => {
                fstatat(directory, name, AtFlags::empty()).map_or(true, |stat| {
                    !matches!(
                        stat.st_mode & libc::S_IFMT,
                        libc::S_IFIFO | libc::S_IFCHR | libc::S_IFBLK
                    )
                })
            }
        };
        if harmless {
            return Ok(());
        }
        let here = readlink(format!("/proc/self/fd/{}", directory.as_raw_fd()).as_str());
        let here = here.map(PathBuf::from).unwrap_or_default();
        self.found = Some(here.join(OsStr::from_bytes(name.to_bytes())));
        Err(Errno::EINVAL)
    }

    fn left(&mut self, _: BorrowedFd<'_>, _: &CStr) -> Result<(), Errno> {
        Ok(())
    }
}
