//! The journal's file under its name: writing, fsync, and going on after one of them failed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::trouble::Step;
use crate::disk::{Disk, write_all_at};
use crate::durable::NewFile;

/// What failed, and how.
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) error: io::Error,
}

fn at(step: Step) -> impl FnOnce(io::Error) -> Failed {
    move |error| Failed { step, error }
}

pub(super) struct Place {
    disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Device and inode.
    identity: (u64, u64),
    /// Length of what is known to be durable.
    pub(super) durable: u64,
}

impl Place {
    /// `file` is what `path` leads to, and its first `durable` bytes are durable.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        file: File,
        durable: u64,
    ) -> io::Result<Self> {
        let identity = identity(&file.metadata()?);
        Ok(Self { disk, path, file, identity, durable })
    }

    /// Writes what is in `out`, which follows what is durable, from byte `from` of it on.
    pub(super) fn write(&self, out: &[u8], from: usize) -> Result<(), Failed> {
        write_all_at(&*self.disk, &self.file, &out[from..], self.durable + from as u64)
            .map_err(at(Step::Write))
    }

    /// Makes what was written durable, under its name: a file whose directory is gone takes bytes all the same.
    pub(super) fn sync(&self) -> Result<(), Failed> {
        self.disk.sync_data(&self.file).map_err(at(Step::Sync))?;
        let found = fs::metadata(&self.path).map_err(at(Step::Find))?;
        if identity(&found) == self.identity { Ok(()) } else { Err(at(Step::Find)(another())) }
    }

    /// Writes `out` anew, by a descriptor that has seen no error, and makes it durable. The bytes go where they were, so
    /// that who dies here loses nothing that the kernel had.
    pub(super) fn write_anew(&mut self, out: &[u8]) -> Result<(), Failed> {
        match self.disk.open(&self.path) {
            Ok(file) => {
                let found = identity(&file.metadata().map_err(at(Step::Find))?);
                if found != self.identity {
                    return Err(at(Step::Find)(another()));
                }
                self.file = file;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.put_back().map_err(at(Step::Find))?;
            }
            Err(error) => return Err(at(Step::Find)(error)),
        }
        self.write(out, 0)?;
        self.sync()
    }

    /// The directory is there again and empty: what the file that lost its name holds gets it back.
    fn put_back(&mut self) -> io::Result<()> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        if !dir.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut new = NewFile::create(&*self.disk, dir)?;
        let mut chunk = vec![0; 1 << 20];
        let mut done = 0;
        while done < self.durable {
            let left = usize::try_from(self.durable - done).unwrap_or(usize::MAX);
            let want = left.min(chunk.len());
            self.file.read_exact_at(&mut chunk[..want], done)?;
            io::Write::write_all(&mut new, &chunk[..want])?;
            done += want as u64;
        }
        let file = new.duplicate()?;
        file.try_lock()?;
        new.persist(&self.path)?;
        self.identity = identity(&file.metadata()?);
        self.file = file;
        Ok(())
    }
}

fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

fn another() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "another file stands in its place")
}
