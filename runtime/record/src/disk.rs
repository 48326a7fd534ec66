//! The file layer: every step by which this crate changes what is on disk, so that tests can let each of them fail.
//!
//! A step is one system call, or few. Reading does not pass through here: what can't be read is never acknowledged.

mod refusal;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

pub use refusal::{is_refusal, refusal_in};

/// What writes. The methods' own bodies are the real thing; only tests have another.
///
/// # Errors
/// Each method: that of its system call. Nothing is known then about what is on disk.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes one directory. Not durable before [`Disk::sync_dir`] of the one above.
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    /// Makes a file that must not exist, to read and write. Its name is not durable before [`Disk::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Opens a file to read and write.
    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Opens the file whose lock is taken by turns; makes it if it is absent. Nobody needs it to be durable.
    fn open_lock(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).open(path)
    }

    /// Writes at a place of a file; how many bytes, which may be fewer than were given.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    /// Cuts a file off.
    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Makes a file's content and length durable.
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// Makes everything durable on the file system that `dir` is on. `dir` was opened before what is meant was
    /// written: an error that came up since then is told.
    fn sync_file_system(&self, dir: &File) -> io::Result<()> {
        // SAFETY: the descriptor is open for as long as the call lasts.
        if unsafe { libc::syncfs(dir.as_raw_fd()) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Gives a file a second name, which must not exist.
    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        fs::hard_link(file, name)
    }

    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    /// Removes a directory with everything in it.
    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
}

#[derive(Debug)]
struct RealDisk;

impl Disk for RealDisk {}

/// The disk that is there.
#[must_use]
pub fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// Writes all of `bytes` at a place of a file.
pub(crate) fn write_all_at(
    disk: &dyn Disk,
    file: &File,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match disk.write_at(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
