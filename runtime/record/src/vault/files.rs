//! The vault's files: made, replaced and destroyed so that a crash at any step leaves a key that opens, or none.
//!
//! Whoever changes them holds the lock `.lock`. `.next-<name>` is a key that is new, or wrapped anew, and has not its name yet,
//! and `.old-<name>` one whose bytes are still to be overwritten; both go with their key.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileWrapping, Scope, VaultError, WRAPPING_FILE};
use crate::disk::{Disk, write_all_at};
use crate::durable;

/// Most bytes of a wrapped key's file.
pub(super) const MAX_WRAPPED_BYTES: u64 = 64 << 10;

/// Name of the file whose lock is taken by turns.
const LOCK_FILE: &str = ".lock";

/// Where the keys of sessions are.
const SESSIONS: &str = "sessions";

const ENDING: &str = ".json";

#[derive(Debug)]
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// Nobody else changes the vault's files while there is one.
pub(super) struct Turn {
    _lock: File,
}

fn at(path: &Path) -> impl Fn(io::Error) -> VaultError {
    move |source| VaultError::Io { path: path.to_owned(), source }
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{what}-{name}"))
}

fn is_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_owned() }
    }

    pub(super) fn path(&self, scope: Scope) -> PathBuf {
        match scope {
            Scope::Session(session) => self.dir.join(SESSIONS).join(format!("{session}{ENDING}")),
            Scope::Control => self.dir.join(format!("control{ENDING}")),
        }
    }

    /// The wrapping key in the vault, made at first use.
    pub(super) fn wrapping_key(&self) -> Result<FileWrapping, VaultError> {
        let path = self.dir.join(WRAPPING_FILE);
        if let Some(found) = self.known_wrapping_key()? {
            // Whoever made it may have failed to make its name durable.
            self.disk.sync_dir(&self.dir).map_err(at(&path))?;
            return Ok(found);
        }
        let (made, text) = FileWrapping::random().map_err(at(&path))?;
        // Of two processes that start at once, one key wins.
        if self.put_new(&path, text.as_bytes())? {
            return Ok(made);
        }
        self.known_wrapping_key()?.ok_or_else(|| at(&path)(io::ErrorKind::NotFound.into()))
    }

    /// The same, if it is there.
    pub(super) fn known_wrapping_key(&self) -> Result<Option<FileWrapping>, VaultError> {
        let path = self.dir.join(WRAPPING_FILE);
        FileWrapping::read(&path).map_err(at(&path))
    }

    /// All scopes that have a key.
    pub(super) fn scopes(&self) -> Result<Vec<Scope>, VaultError> {
        let mut scopes = Vec::new();
        if self.path(Scope::Control).exists() {
            scopes.push(Scope::Control);
        }
        let dir = self.dir.join(SESSIONS);
        let entries = is_there(fs::read_dir(&dir)).map_err(at(&dir))?;
        for entry in entries.into_iter().flatten() {
            let name = entry.map_err(at(&dir))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            scopes.extend(id.and_then(|id| id.parse().ok()).map(Scope::Session));
        }
        scopes.sort();
        Ok(scopes)
    }

    /// The file's bytes, if there is one; too long a file is no wrapped key and is cut.
    pub(super) fn read(&self, scope: Scope) -> Result<Option<Vec<u8>>, VaultError> {
        let path = self.path(scope);
        let Some(file) = is_there(File::open(&path)).map_err(at(&path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(MAX_WRAPPED_BYTES).read_to_end(&mut bytes).map_err(at(&path))?;
        Ok(Some(bytes))
    }

    /// Makes a directory of the vault, for this user alone.
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let new = !dir.is_dir();
        durable::make_dir(&*self.disk, dir)?;
        if new {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        Ok(())
    }

    /// Waits for the others' turns.
    pub(super) fn turn(&self) -> Result<Turn, VaultError> {
        let path = self.dir.join(LOCK_FILE);
        let lock = self.make_dir(&self.dir).and_then(|()| {
            let lock = self.disk.open_lock(&path)?;
            lock.lock()?;
            Ok(lock)
        });
        Ok(Turn { _lock: lock.map_err(at(&path))? })
    }

    /// Makes the name of what is there durable.
    pub(super) fn settle(&self, scope: Scope) -> Result<(), VaultError> {
        let path = self.path(scope);
        let dir = path.parent().unwrap_or(&self.dir);
        let above = (dir != self.dir).then_some(self.dir.as_path());
        for dir in above.into_iter().chain([dir]) {
            self.disk.sync_dir(dir).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Makes the file of a key, durably; says whether it did, and not another process before it.
    pub(super) fn create(&self, scope: Scope, bytes: &[u8]) -> Result<bool, VaultError> {
        self.put_new(&self.path(scope), bytes)
    }

    fn put_new(&self, path: &Path, bytes: &[u8]) -> Result<bool, VaultError> {
        let dir = path.parent().unwrap_or(&self.dir);
        self.make_dir(&self.dir).and_then(|()| self.make_dir(dir)).map_err(at(path))?;
        let _turn = self.turn()?;
        let put = || {
            if path.exists() {
                self.disk.sync_dir(dir)?;
                return Ok(false);
            }
            let next = beside(path, "next");
            self.shred(&next)?;
            self.write(&next, bytes)?;
            self.disk.rename(&next, path)?;
            self.disk.sync_dir(dir)?;
            Ok(true)
        };
        put().map_err(at(path))
    }

    /// Makes a file with this content, durable but for its name.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.disk.create(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        write_all_at(&*self.disk, &file, bytes, 0)?;
        self.disk.sync_data(&file)
    }

    /// Puts `bytes` in the place of what the file of a key holds, and overwrites that.
    pub(super) fn replace(&self, _: &Turn, scope: Scope, bytes: &[u8]) -> Result<(), VaultError> {
        let path = self.path(scope);
        let dir = path.parent().unwrap_or(&self.dir);
        let (next, old) = (beside(&path, "next"), beside(&path, "old"));
        let put = || {
            self.write(&next, bytes)?;
            // A second name for what is there, so that whoever dies after the rename knows what is to be overwritten.
            self.disk.link(&path, &old)?;
            self.disk.sync_dir(dir)?;
            self.disk.rename(&next, &path)
        };
        put().map_err(at(&path))?;
        self.clear(&path).map_err(at(&path))
    }

    /// Ends what somebody who died, or failed, began with a key's file.
    pub(super) fn tidy(&self, _: &Turn, scope: Scope) -> Result<(), VaultError> {
        let path = self.path(scope);
        self.clear(&path).map_err(at(&path))
    }

    fn clear(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().unwrap_or(&self.dir);
        let (next, old) = (beside(path, "next"), beside(path, "old"));
        if let Some(found) = is_there(fs::metadata(&old))? {
            // Only once it is durable that another file has the name may the bytes go.
            self.disk.sync_dir(dir)?;
            let current = is_there(fs::metadata(path))?;
            if current.is_some_and(|current| current.ino() == found.ino()) {
                self.disk.remove_file(&old)?;
            } else {
                self.shred(&old)?;
            }
        }
        self.shred(&next)?;
        self.disk.sync_dir(dir)
    }

    /// Overwrites a file and removes its name; says whether it was there.
    fn shred(&self, path: &Path) -> io::Result<bool> {
        // Asked for first, because opening is a step that may fail.
        let Some(found) = is_there(fs::metadata(path))? else { return Ok(false) };
        let file = self.disk.open(path)?;
        let mut noise = vec![0; usize::try_from(found.len()).unwrap_or(0)];
        getrandom::fill(&mut noise).map_err(io::Error::other)?;
        write_all_at(&*self.disk, &file, &noise, 0)?;
        self.disk.sync_data(&file)?;
        self.disk.remove_file(path)?;
        Ok(true)
    }

    pub(super) fn destroy(&self, scope: Scope) -> Result<bool, VaultError> {
        let path = self.path(scope);
        let dir = path.parent().unwrap_or(&self.dir);
        if !dir.is_dir() {
            return Ok(false);
        }
        let _turn = self.turn()?;
        let destroy = || {
            self.shred(&beside(&path, "next"))?;
            self.shred(&beside(&path, "old"))?;
            let there = self.shred(&path)?;
            // Whoever was here before may have failed to make it durable.
            self.disk.sync_dir(dir)?;
            Ok(there)
        };
        destroy().map_err(at(&path))
    }
}
