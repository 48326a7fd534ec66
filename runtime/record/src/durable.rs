//! Files that are there whole or not at all: write, fsync, rename, fsync of the directory.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Disk, write_all_at};

/// Makes a directory and its missing ancestors, each durable in the one above.
pub(crate) fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_dir(disk, parent)?;
    match disk.create_dir(dir) {
        Ok(()) => disk.sync_dir(parent).inspect_err(|_| {
            // Whoever tries again must not take it for durable. If it can't be removed, it stays and is synced with
            // what comes after it.
            let _still_there = disk.remove_dir(dir);
        }),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Replaces `path` with `bytes`, durably.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut new = NewFile::create(disk, dir)?;
    io::Write::write_all(&mut new, bytes)?;
    new.file.set_permissions(Permissions::from_mode(0o644))?;
    new.persist(path)
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
            let path = dir.join(format!(".new-{}-{number}", std::process::id()));
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
        if let Some(from) = self.path.take() {
            self.disk.rename(&from, path).inspect_err(|_| self.path = Some(from))?;
        }
        self.disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
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
