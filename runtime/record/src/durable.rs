//! Files that are there whole or not at all: write, fsync, rename, fsync of the directory.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, write_all_at};

/// Directories that this process made and could not make durable: whoever finds one must not take it for durable.
static DOUBTFUL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn doubtful() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    DOUBTFUL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a directory and its missing ancestors, each durable in the one above.
pub(crate) fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let known = !doubtful().contains(dir);
    if known && dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_dir(disk, parent)?;
    match disk.create_dir(dir) {
        Ok(()) => {}
        // Another one just made it, and makes it durable before it counts on it; or this process could not.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && known => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    doubtful().insert(dir.to_owned());
    disk.sync_dir(parent)?;
    doubtful().remove(dir);
    Ok(())
}

/// Removes what a dead process did not get to give a name, as far as it can be removed.
pub(crate) fn remove_unnamed(disk: &dyn Disk, dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNNAMED.as_bytes()) {
            let _still_there = disk.remove_file(&entry.path());
        }
    }
}

/// Begin of the name of a file that has none yet.
const UNNAMED: &str = ".new-";

/// Replaces `path` with `bytes`, durably.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut new = NewFile::create(disk, dir)?;
    io::Write::write_all(&mut new, bytes)?;
    new.file.set_permissions(Permissions::from_mode(0o644))?;
    new.persist(path)
}

/// Replaces `path` with `bytes`: it is one or the other, whole, at every moment and after a loss of power. Which of them is
/// not promised.
pub(crate) fn show(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut new = NewFile::create(disk, dir)?;
    io::Write::write_all(&mut new, bytes)?;
    new.file.set_permissions(Permissions::from_mode(0o644))?;
    new.named(path)
}

/// A file without a lasting name; it goes when it is dropped before it got one.
#[derive(Debug)]
pub(crate) struct NewFile<'a> {
    disk: &'a dyn Disk,
    file: File,
    path: Option<PathBuf>,
    length: u64,
}

impl<'a> NewFile<'a> {
    /// Makes it in `dir`, for this user alone.
    pub(crate) fn create(disk: &'a dyn Disk, dir: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            // Another process of the same number may have left one when the machine went down.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = dir.join(format!("{UNNAMED}{}-{number}", std::process::id()));
            match disk.create(&path) {
                Ok(file) => {
                    let new = Self { disk, file, path: Some(path), length: 0 };
                    new.file.set_permissions(Permissions::from_mode(0o600))?;
                    return Ok(new);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Another descriptor of it, for who goes on with it under its name.
    pub(crate) fn duplicate(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Makes the content durable, gives it its name in the same file system, and makes that durable.
    pub(crate) fn persist(mut self, path: &Path) -> io::Result<()> {
        self.disk.sync_data(&self.file)?;
        self.rename(path)?;
        self.disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }

    /// As [`NewFile::persist`], unless a file has that name, which keeps it, and whose name is made durable: says whether it
    /// was this one. Of several that are given a name at once one gets it.
    pub(crate) fn persist_new(self, path: &Path) -> io::Result<bool> {
        let dir = path.parent().unwrap_or(Path::new("."));
        // What is there was named whole, but whoever did it may have failed to make the name durable.
        let new = !path.is_file() && {
            self.disk.sync_data(&self.file)?;
            self.link(path)?
        };
        self.disk.sync_dir(dir)?;
        Ok(new)
    }

    fn link(&self, path: &Path) -> io::Result<bool> {
        let Some(from) = &self.path else { return Ok(false) };
        match self.disk.link(from, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the content durable, and gives it its name, which is not.
    fn named(mut self, path: &Path) -> io::Result<()> {
        self.disk.sync_data(&self.file)?;
        self.rename(path)
    }

    fn rename(&mut self, path: &Path) -> io::Result<()> {
        match self.path.take() {
            Some(from) => self.disk.rename(&from, path).inspect_err(|_| self.path = Some(from)),
            None => Ok(()),
        }
    }
}

impl io::Write for NewFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all_at(self.disk, &self.file, bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // What is left of it takes up room and has no meaning.
            let _still_there = self.disk.remove_file(&path);
        }
    }
}
