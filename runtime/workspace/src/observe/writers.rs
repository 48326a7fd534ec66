//! Who still can write to a file. A mapping outlives its descriptor, and raises no event; that somebody has the file open for
//! writing or mapped so is seen by asking for a read lease (fcntl(2), `F_SETLEASE`), which the kernel gives only where
//! nobody can write. On an overlay that has to be asked of the upper layer's file: the mapping is of that one.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{FileKind, FileRead, FileWritten, Uncertain};
use nix::errno::Errno;

use super::UNKNOWN_PID;
use super::engine::Engine;
use super::group::{path_below, stat};
use crate::content::{path_beneath, reopen_for_reading};

/// Files with a writer that are looked after; beyond it they are looked at when they are read.
const MAX_LIVE: usize = 4_096;

/// Files that were written and not closed yet that are looked after at a time.
const MAX_LOOKED_AFTER: usize = 64;

/// How often a file that was closed is looked at until nobody can write to it.
const MAX_CLOSE_LOOKS: u32 = 20;

/// Answers without a result after which a file is not asked about any more.
const MAX_UNKNOWN_LOOKS: u32 = 2;

/// `F_SETSIG` of Linux: the signal of a lease that is broken.
const F_SETSIG: libc::c_int = 10;

/// Whether somebody can write to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// It was never opened for writing in this session.
    Never,
    /// Nobody can at the moment.
    Nobody,
    /// Somebody has it open for writing, or has a shared mapping that can be written.
    Somebody,
    /// The file system grants no leases, or the file moved while it was looked for.
    Unknown,
}

/// A file that somebody could write to when it was looked at last.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) path: WorkspacePath,
    /// Who wrote last, as far as it is known.
    pub(super) pid: u32,
    /// Nobody can any more; events from before that was seen may still be on the way.
    freed: bool,
}

/// The files that somebody can write to.
#[derive(Debug)]
pub(super) struct Writers {
    upper: OwnedFd,
    live: HashMap<Box<[u8]>, Live>,
}

impl Writers {
    pub(super) fn new(upper: OwnedFd) -> Self {
        Self { upper, live: HashMap::new() }
    }

    /// Somebody can write to the file, or could a moment ago.
    pub(super) fn is_live(&self, object: &[u8]) -> bool {
        self.live.contains_key(object)
    }

    /// Who may write to the file, or could a moment ago, if it is known that somebody can.
    pub(super) fn pid(&self, object: &[u8]) -> Option<u32> {
        self.live.get(object).map(|live| live.pid)
    }

    /// Somebody was found who can. `sure` says that a notice tells of a write of this process.
    pub(super) fn found(&mut self, object: &[u8], path: &WorkspacePath, pid: u32, sure: bool) {
        if let Some(live) = self.live.get_mut(object) {
            live.freed = false;
            if sure && pid != UNKNOWN_PID {
                live.pid = pid;
            } else if live.pid != pid {
                // Which of them writes through a mapping is told by nothing.
                live.pid = UNKNOWN_PID;
            }
        } else if self.live.len() < MAX_LIVE {
            let live = Live { path: path.clone(), pid, freed: false };
            self.live.insert(object.into(), live);
        }
    }

    /// All of them: the file, a path of it, and who wrote to it last.
    pub(super) fn all(&self) -> Vec<(Box<[u8]>, WorkspacePath, u32)> {
        let all = self.live.iter();
        all.map(|(object, live)| (object.clone(), live.path.clone(), live.pid)).collect()
    }

    /// The path of one file, to be moved along.
    pub(super) fn path_mut(&mut self, object: &[u8]) -> Option<&mut WorkspacePath> {
        self.live.get_mut(object).map(|live| &mut live.path)
    }

    /// The paths, to be moved along.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut WorkspacePath> {
        self.live.values_mut().map(|live| &mut live.path)
    }
}

impl Engine {
    /// Whether the file that is known to stand at `path` was never opened for writing in this session. Not to be trusted
    /// if it was renamed meanwhile.
    pub(super) fn is_untouched(&self, path: &WorkspacePath) -> bool {
        matches!(
            path_beneath(self.writers.upper.as_fd(), path),
            Err(Errno::ENOENT | Errno::ENOTDIR)
        )
    }

    /// Whether somebody can write to the file now. `file` is any descriptor of it.
    pub(super) fn writing(&self, file: BorrowedFd<'_>) -> Writing {
        writing(self.root(), self.writers.upper.as_fd(), file)
    }

    /// Whether somebody can write to a file that was closed. The kernel tells of a close a moment before it counts it. Beside it
    /// what to ask again by ([`is_open_for_writing`]), where nobody can.
    pub(super) fn is_still_written(&self, file: BorrowedFd<'_>) -> (bool, Option<OwnedFd>) {
        let (mut somebody, mut unknown) = (false, 0);
        for _ in 0..MAX_CLOSE_LOOKS {
            std::thread::yield_now();
            match look(self.root(), self.writers.upper.as_fd(), file) {
                (Writing::Somebody, _) => somebody = true,
                // It may have been renamed just now; or no leases are granted there, and nothing is gained by asking on.
                (Writing::Unknown, _) => {
                    unknown += 1;
                    if unknown >= MAX_UNKNOWN_LOOKS {
                        return (somebody, None);
                    }
                }
                (Writing::Nobody | Writing::Never, real) => return (false, real),
            }
        }
        (somebody, None)
    }

    /// Tells the versions of files that had a writer and have none any more.
    pub(super) fn look_after_writers(&mut self) {
        // Who truncates by a path closes nothing.
        let written = self.unclosed.iter().filter(|(_, unclosed)| unclosed.modified);
        for (object, unclosed) in written.take(MAX_LOOKED_AFTER) {
            self.writers.found(object, &unclosed.path, unclosed.pid, unclosed.sure);
        }
        if self.writers.live.is_empty() {
            return;
        }
        let objects: Vec<Box<[u8]>> = self.writers.live.keys().cloned().collect();
        for object in objects {
            let Some(live) = self.writers.live.get(&object).cloned() else { continue };
            let file = self.open(&object);
            let still = file.as_ref().map(|f| self.writing(f.as_fd()));
            match (still, file) {
                (Some(Writing::Somebody | Writing::Unknown), _) => {}
                _ if live.freed => drop(self.writers.live.remove(&object)),
                (Some(Writing::Nobody | Writing::Never), Some(file)) => {
                    if self.tell_last(&object, &live, file.as_fd())
                        && let Some(live) = self.writers.live.get_mut(&object)
                    {
                        live.freed = true;
                    }
                }
                // It has lost its last name: nothing of it can get out.
                (_, _) => drop(self.writers.live.remove(&object)),
            }
        }
        if self.group.waiting() == Ok(0) {
            self.writers.live.retain(|_, live| !live.freed);
        }
    }

    /// Tells what a file has that nobody can write to any more. `false` if somebody could while it was read.
    fn tell_last(&mut self, object: &[u8], live: &Live, file: BorrowedFd<'_>) -> bool {
        let limit = self.contents.limits().closed;
        let path = self.name_of(object, live.path.clone());
        let before = self.contents.entry(&path);
        let told = self.contents.written_through(&path, file, limit);
        // Who opened it, wrote and closed it in between left another time of change.
        let free = matches!(self.writing(file), Writing::Nobody | Writing::Never);
        if !free || (told.after.digest.is_some() && !self.contents.is_as_hashed(&path, file)) {
            self.contents.restore(&path, before);
            return false;
        }
        let unclosed = self.unclosed.remove(object);
        let open = unclosed.as_ref().is_some_and(|unclosed| unclosed.told);
        if !told.changed && !open {
            return true;
        }
        // What was not known before may have been there before, where no notice tells of a write.
        let known = |read: &FileRead| read.digest.is_some() || read.git_blob.is_some();
        let unfounded = !unclosed.is_some_and(|unclosed| unclosed.sure)
            && !told.before.as_ref().is_some_and(known);
        let written = FileWritten {
            path: path.clone(),
            kind: FileKind::File,
            before: Some(told.before.unwrap_or_default()),
            after: told.after,
            open: false,
            uncertain: Uncertain::of(false, unfounded),
        };
        let pid = if unfounded { UNKNOWN_PID } else { live.pid };
        self.emit_remembered(pid, object, &path, Body::FileWritten(written));
        true
    }
}

/// Whether somebody can write to the file `file` of the overlay at `root`, whose upper layer is `upper`.
pub(crate) fn writing(
    root: BorrowedFd<'_>,
    upper: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
) -> Writing {
    look(root, upper, file).0
}

/// As [`writing`], with the file of the upper layer.
fn look(
    root: BorrowedFd<'_>,
    upper: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
) -> (Writing, Option<OwnedFd>) {
    let path = || WorkspacePath::from_bytes(&path_below(root, file)?).ok();
    let Some(before) = path() else { return (Writing::Unknown, None) };
    let answer = match path_beneath(upper, &before) {
        Ok(real) => {
            let regular =
                stat(real.as_fd()).is_some_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
            if !regular {
                return (Writing::Unknown, None);
            }
            match reopen_for_reading(real.as_fd()).and_then(|real| Ok((ask(real.as_fd())?, real))) {
                Ok((true, real)) => (Writing::Somebody, Some(real)),
                Ok((false, real)) => (Writing::Nobody, Some(real)),
                Err(_) => (Writing::Unknown, None),
            }
        }
        Err(Errno::ENOENT | Errno::ENOTDIR) => (Writing::Never, None),
        Err(_) => (Writing::Unknown, None),
    };
    // Another name meanwhile: what was asked may be another file.
    if path() == Some(before) { answer } else { (Writing::Unknown, None) }
}

/// Whether somebody has the file of the upper layer open for writing by now.
pub(super) fn is_open_for_writing(real: &OwnedFd) -> bool {
    ask(real.as_fd()) == Ok(true)
}

/// Whether no descriptor that a process has of the file can be read from; `None` if it has none, or can't be looked at.
pub(super) fn only_writes(pid: u32, file: BorrowedFd<'_>) -> Option<bool> {
    use std::os::unix::fs::MetadataExt;
    let wanted = stat(file)?;
    let mut found = None;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let same = std::fs::metadata(entry.path())
            .is_ok_and(|other| (other.dev(), other.ino()) == (wanted.st_dev, wanted.st_ino));
        if !same {
            continue;
        }
        let name = entry.file_name();
        let info =
            std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", name.display())).ok()?;
        // proc_pid_fdinfo(5): octal.
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = libc::c_int::from_str_radix(flags.trim(), 8).ok()?;
        let write_only = flags & libc::O_ACCMODE == libc::O_WRONLY;
        found = Some(found.unwrap_or(true) && write_only);
    }
    found
}

/// Whether anybody has the file open for writing or mapped so. An open for writing that comes in this moment waits until it
/// is over.
fn ask(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let fd = file.as_raw_fd();
    // What would tell of the open that waits is a signal that ends the process, if it isn't one that is ignored.
    // SAFETY: plain system calls on an open descriptor, without pointers.
    Errno::result(unsafe { libc::fcntl(fd, F_SETSIG, libc::SIGURG) })?;
    // SAFETY: as above.
    match Errno::result(unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) }) {
        Ok(_) => {
            // SAFETY: as above. If it failed, the close of the descriptor, which follows, gives the lease back.
            let _ = unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
            Ok(false)
        }
        Err(Errno::EAGAIN) => Ok(true),
        Err(errno) => Err(errno),
    }
}
