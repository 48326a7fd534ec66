//! The disk limit: what a session has written to its workspace and has caused to be written to its record, measured
//! now and then. A loop that makes and removes one file leaves nothing in the workspace, and grows the record for ever.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use custody_workspace::descent::{self, Visitor};
use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;

use super::Message;

/// How often they are measured.
const PERIOD: Duration = Duration::from_secs(2);

/// Measures until it is dropped.
pub(super) struct DiskWatch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskWatch {
    /// Tells once when more than `limit` bytes are on disk below all of `places`.
    pub(super) fn start(
        places: Vec<PathBuf>,
        limit: u64,
        messages: Sender<Message>,
    ) -> std::io::Result<Self> {
        let (stop, stopped): (Sender<()>, Receiver<()>) = channel();
        let thread = std::thread::Builder::new().name("disk".into()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(PERIOD) {
                let used = places.iter().map(|place| used_below(place)).sum();
                if used > limit {
                    // The session is ending if nobody listens any more.
                    let _ended = messages.send(Message::DiskFull(used));
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Bytes on disk of all files below `dir`. The agent changes it meanwhile: what is gone counts nothing, and no link
/// is followed.
fn used_below(dir: &Path) -> u64 {
    let mut used = Used(0);
    // What was counted before an error counts; the next measurement tries again.
    let _unreadable = File::open(dir)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
        .and_then(|dir| descent::walk(dir.as_fd(), &mut used));
    used.0
}

struct Used(u64);

impl Visitor for Used {
    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        _: Option<Type>,
    ) -> Result<(), Errno> {
        if let Ok(stat) = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            // st_blocks counts 512 bytes, whatever the file system's own block is.
            self.0 += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        }
        Ok(())
    }

    fn left(&mut self, _: BorrowedFd<'_>, _: &CStr) -> Result<(), Errno> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_disk_is_counted_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", dir.path().join("c")).unwrap();
        let used = used_below(dir.path());
        assert!((100_000..400_000).contains(&used), "{used}");
    }
}
