//! The vault: the data keys of an installation, each wrapped, in a directory apart from the records.
//!
//! `sessions/<id>.json` and `control.json` hold a wrapped key each (form `custody/wrapped-key/v1`, mode 0600). Whoever
//! destroys such a file, and every copy of it, has erased what the key sealed; so it is to be backed up apart from the
//! records, if at all.

pub(crate) mod key;
mod wrapping;

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::SessionId;
use serde::{Deserialize, Serialize};

use crate::blob::Blobs;
use crate::disk;
pub use key::ContentKey;
pub use wrapping::{FileWrapping, Wrapping};

/// Format of a wrapped key's file.
pub const WRAPPED_FORMAT: &str = "custody/wrapped-key/v1";

/// Name of the installation's own wrapping key in the vault's directory, if nothing else wraps.
pub const WRAPPING_FILE: &str = "wrapping.key";

/// Most bytes of a wrapped key's file.
const MAX_WRAPPED_BYTES: u64 = 64 << 10;

/// Unwrapped keys that are kept in memory.
const KEPT: usize = 256;

/// What a data key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The content of one session.
    Session(SessionId),
    /// The documents of the control plane.
    Control,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => write!(f, "session/{session}"),
            Self::Control => f.write_str("control"),
        }
    }
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file of the vault.
    #[error("the vault's file {path} can't be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file's content.
    #[error("{0} holds no wrapped key of the form custody/wrapped-key/v1 for its scope")]
    Malformed(PathBuf),
    /// Wrapping or unwrapping.
    #[error("the key of {scope} can't be wrapped or unwrapped")]
    Wrapping {
        /// Whose.
        scope: Scope,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A wrapped key, as its file says it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    format: String,
    scope: String,
    wrapping: String,
    /// Base64.
    key: String,
}

/// The data keys of one installation. Several processes may have one.
#[derive(Debug)]
pub struct Vault {
    dir: PathBuf,
    wrapping: Box<dyn Wrapping>,
    /// By scope: the file that was unwrapped, and what it held. The file is read again each time, for it may be gone.
    kept: Mutex<HashMap<Scope, (Vec<u8>, ContentKey)>>,
}

impl Vault {
    /// The vault in `dir`, with the wrapping key in it, which is made at first use.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        let path = dir.join(WRAPPING_FILE);
        let wrapping =
            FileWrapping::open(&path).map_err(|source| VaultError::Io { path, source })?;
        Ok(Self::with_wrapping(dir, Box::new(wrapping)))
    }

    /// The vault in `dir`, whose keys something else wraps.
    #[must_use]
    pub fn with_wrapping(dir: &Path, wrapping: Box<dyn Wrapping>) -> Self {
        Self { dir: dir.to_owned(), wrapping, kept: Mutex::default() }
    }

    /// Where the wrapped key of a scope is.
    #[must_use]
    pub fn path(&self, scope: Scope) -> PathBuf {
        match scope {
            Scope::Session(session) => self.dir.join(format!("sessions/{session}.json")),
            Scope::Control => self.dir.join("control.json"),
        }
    }

    /// The key of a scope; `None` if there is none: it was never made, or was destroyed.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn key(&self, scope: Scope) -> Result<Option<ContentKey>, VaultError> {
        let path = self.path(scope);
        let io = |source| VaultError::Io { path: path.clone(), source };
        let mut bytes = Vec::new();
        match fs::File::open(&path) {
            Ok(file) => file.take(MAX_WRAPPED_BYTES).read_to_end(&mut bytes).map_err(io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock().remove(&scope);
                return Ok(None);
            }
            Err(error) => return Err(io(error)),
        };
        if let Some((file, key)) = self.lock().get(&scope)
            && *file == bytes
        {
            return Ok(Some(key.clone()));
        }
        let key = self.unwrap(scope, &path, &bytes)?;
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(scope, (bytes, key.clone()));
        Ok(Some(key))
    }

    fn unwrap(&self, scope: Scope, path: &Path, bytes: &[u8]) -> Result<ContentKey, VaultError> {
        let malformed = || VaultError::Malformed(path.to_owned());
        let wrapped: Wrapped = serde_json::from_slice(bytes).map_err(|_| malformed())?;
        if wrapped.format != WRAPPED_FORMAT || wrapped.scope != scope.to_string() {
            return Err(malformed());
        }
        let sealed = STANDARD.decode(&wrapped.key).map_err(|_| malformed())?;
        self.wrapping
            .unwrap(&wrapped.scope, &sealed)
            .map_err(|source| VaultError::Wrapping { scope, source })
    }

    /// The key of a scope, made durable if there is none yet.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn make(&self, scope: Scope) -> Result<ContentKey, VaultError> {
        if let Some(key) = self.key(scope)? {
            return Ok(key);
        }
        let path = self.path(scope);
        let io = |source| VaultError::Io { path: path.clone(), source };
        let dir = path.parent().unwrap_or(&self.dir);
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let wrap = |source| VaultError::Wrapping { scope, source };
        let key = ContentKey::random().map_err(|e| wrap(io::Error::other(e)))?;
        let sealed = self.wrapping.wrap(&scope.to_string(), &key).map_err(wrap)?;
        let wrapped = Wrapped {
            format: WRAPPED_FORMAT.to_owned(),
            scope: scope.to_string(),
            wrapping: self.wrapping.name(),
            key: STANDARD.encode(sealed),
        };
        let text = serde_json::to_vec(&wrapped).map_err(|e| io(e.into()))?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(dir).map_err(io)?;
        file.write_all(&text).map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        match file.persist_noclobber(&path) {
            Ok(_) => disk::real().sync_dir(dir).map_err(io)?,
            // Another process was quicker: its key counts.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error.error)),
        }
        self.key(scope)?.ok_or_else(|| io(io::ErrorKind::NotFound.into()))
    }

    /// The blobs of a record in `record` under the key of `scope`, as far as there is one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn blobs(&self, scope: Scope, record: &Path) -> Result<Blobs, VaultError> {
        Ok(Blobs::open(record).with_key(self.key(scope)?))
    }

    /// Destroys the key of a scope: its file is overwritten, removed, and the directory synced. Says whether there was
    /// one. A file system that writes elsewhere (copy-on-write, flash, snapshots, backups) may keep the old bytes: they are
    /// wrapped, and the wrapping key is what protects them there.
    ///
    /// # Errors
    /// [`VaultError::Io`]; to be called again then.
    pub fn destroy(&self, scope: Scope) -> Result<bool, VaultError> {
        self.lock().remove(&scope);
        let path = self.path(scope);
        let io = |source| VaultError::Io { path: path.clone(), source };
        let mut file = match OpenOptions::new().write(true).mode(0o600).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io(error)),
        };
        let length = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(0);
        let mut noise = vec![0; length];
        getrandom::fill(&mut noise).map_err(|e| io(io::Error::other(e)))?;
        file.write_all(&noise).map_err(io)?;
        file.sync_all().map_err(io)?;
        fs::remove_file(&path).map_err(io)?;
        disk::real().sync_dir(path.parent().unwrap_or(&self.dir)).map_err(io)?;
        Ok(true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Scope, (Vec<u8>, ContentKey)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
