//! The vault: the data keys of an installation, each wrapped, in a directory apart from the records.
//!
//! `sessions/<id>.json` and `control.json` hold a wrapped key each (form `custody/wrapped-key/v1`, mode 0600), and say what
//! wrapped it. Whoever destroys such a file, and every copy of it, has erased what the key sealed; so it is to be backed up
//! apart from the records, if at all.

mod files;
pub(crate) mod key;
mod rewrap;
mod wrapping;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::SessionId;
use serde::{Deserialize, Serialize};

use crate::blob::Blobs;
use crate::disk::{self, Disk};
use files::{Files, MAX_WRAPPED_BYTES};
pub use key::{BOUND_BYTES, ContentKey};
pub use rewrap::Rewrapped;
pub use wrapping::{FileWrapping, Wrapping};

/// Format of a wrapped key's file.
pub const WRAPPED_FORMAT: &str = "custody/wrapped-key/v1";

/// Name of the installation's own wrapping key in the vault's directory, if nothing else wraps.
pub const WRAPPING_FILE: &str = "wrapping.key";

/// Unwrapped keys that are kept in memory.
const KEPT: usize = 256;

/// What a data key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The documents of the control plane.
    Control,
    /// The content of one session.
    Session(SessionId),
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
    /// It was wrapped by something that this process does not know.
    #[error(
        "the key of {scope} was wrapped by {wrapping}, and this process knows only {known}: name it in vault.former"
    )]
    Unknown {
        /// Whose.
        scope: Scope,
        /// By what.
        wrapping: String,
        /// What is known, with commas.
        known: String,
    },
    /// The wrapping key is gone, and keys that it wrapped are there.
    #[error(
        "the wrapping key {path} is gone, and it wraps the key of {scope}: no other one is made; put it back from its backup"
    )]
    WrappingGone {
        /// Where it was.
        path: PathBuf,
        /// Whose key it wraps, for one.
        scope: Scope,
    },
    /// Wrapping or unwrapping.
    #[error("the key of {scope} can't be wrapped or unwrapped by {wrapping}")]
    Wrapping {
        /// Whose.
        scope: Scope,
        /// By what.
        wrapping: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else changed the file while it was wrapped anew.
    #[error("the key of {0} was changed meanwhile: wrap the keys anew once more")]
    Changed(Scope),
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

impl Wrapped {
    fn parse(path: &Path, scope: Scope, bytes: &[u8]) -> Result<Self, VaultError> {
        let wrapped: Option<Self> = serde_json::from_slice(bytes).ok();
        wrapped
            .filter(|found| found.format == WRAPPED_FORMAT && found.scope == scope.to_string())
            .ok_or_else(|| VaultError::Malformed(path.to_owned()))
    }
}

/// A scope whose key was wrapped by a key in a file; `None` if there is none.
fn wrapped_by_a_file(files: &Files) -> Result<Option<Scope>, VaultError> {
    for scope in files.scopes()? {
        let Some(bytes) = files.read(scope)? else { continue };
        // What holds no wrapped key is found when it is wanted.
        let wrapped: Option<Wrapped> = serde_json::from_slice(&bytes).ok();
        if wrapped.is_some_and(|wrapped| wrapped.wrapping.starts_with(FileWrapping::NAMES)) {
            return Ok(Some(scope));
        }
    }
    Ok(None)
}

/// The data keys of one installation. Several processes may have one.
#[derive(Debug)]
pub struct Vault {
    files: Files,
    /// Wraps new keys.
    wrapping: Box<dyn Wrapping>,
    /// Wrapped keys that are still there.
    former: Vec<Box<dyn Wrapping>>,
    /// By scope: the file that was unwrapped, and what it held. The file is read again each time, for it may be gone.
    kept: Mutex<HashMap<Scope, (Vec<u8>, ContentKey)>>,
}

impl Vault {
    /// The vault in `dir`, with the wrapping key in it, which is made at first use.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn open(dir: &Path) -> Result<Self, VaultError> {
        Self::open_on(disk::real(), dir)
    }

    /// As [`Vault::open`], written through a file layer of the caller's.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, VaultError> {
        let files = Files::new(disk, dir);
        if files.known_wrapping_key()?.is_none()
            && let Some(scope) = wrapped_by_a_file(&files)?
            // Another process may just have made the first one.
            && files.known_wrapping_key()?.is_none()
        {
            return Err(VaultError::WrappingGone { path: dir.join(WRAPPING_FILE), scope });
        }
        let wrapping = files.wrapping_key()?;
        Ok(Self { files, wrapping: Box::new(wrapping), former: Vec::new(), kept: Mutex::default() })
    }

    /// The vault in `dir`, whose keys something else wraps. Those that the key in it wrapped are opened all the same, as long
    /// as that is there; it is not made.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn with_wrapping(dir: &Path, wrapping: Box<dyn Wrapping>) -> Result<Self, VaultError> {
        Self::with_wrapping_on(disk::real(), dir, wrapping)
    }

    /// As [`Vault::with_wrapping`], written through a file layer of the caller's.
    ///
    /// # Errors
    /// [`VaultError::Io`].
    pub fn with_wrapping_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        wrapping: Box<dyn Wrapping>,
    ) -> Result<Self, VaultError> {
        let files = Files::new(disk, dir);
        let own = files.known_wrapping_key()?;
        let former = own.map(|own| Box::new(own) as Box<dyn Wrapping>).into_iter().collect();
        Ok(Self { files, wrapping, former, kept: Mutex::default() })
    }

    /// With one more that wrapped keys which are still there.
    #[must_use]
    pub fn with_former(mut self, former: Box<dyn Wrapping>) -> Self {
        self.former.push(former);
        self
    }

    /// What wraps new keys.
    #[must_use]
    pub fn wrapping(&self) -> String {
        self.wrapping.name()
    }

    /// Where the wrapped key of a scope is.
    #[must_use]
    pub fn path(&self, scope: Scope) -> PathBuf {
        self.files.path(scope)
    }

    /// The key of a scope; `None` if there is none: it was never made, or was destroyed.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn key(&self, scope: Scope) -> Result<Option<ContentKey>, VaultError> {
        let Some(bytes) = self.files.read(scope)? else {
            self.lock().remove(&scope);
            return Ok(None);
        };
        if let Some((file, key)) = self.lock().get(&scope)
            && *file == bytes
        {
            return Ok(Some(key.clone()));
        }
        let wrapped = Wrapped::parse(&self.path(scope), scope, &bytes)?;
        let key = self.unwrap(scope, &wrapped)?;
        self.keep(scope, bytes, key.clone());
        Ok(Some(key))
    }

    fn keep(&self, scope: Scope, bytes: Vec<u8>, key: ContentKey) {
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(scope, (bytes, key));
    }

    fn unwrap(&self, scope: Scope, wrapped: &Wrapped) -> Result<ContentKey, VaultError> {
        let all = || std::iter::once(&self.wrapping).chain(&self.former);
        let Some(by) = all().find(|one| one.name() == wrapped.wrapping) else {
            let names: Vec<String> = all().map(|one| one.name()).collect();
            let (wrapping, known) = (wrapped.wrapping.clone(), names.join(", "));
            return Err(VaultError::Unknown { scope, wrapping, known });
        };
        let sealed =
            STANDARD.decode(&wrapped.key).map_err(|_| VaultError::Malformed(self.path(scope)))?;
        by.unwrap(&wrapped.scope, &sealed).map_err(|source| VaultError::Wrapping {
            scope,
            wrapping: by.name(),
            source,
        })
    }

    /// The content of the file of a key that is wrapped now. It can be had back: it was tried.
    fn wrap(&self, scope: Scope, key: &ContentKey) -> Result<Vec<u8>, VaultError> {
        let (name, wrapping) = (scope.to_string(), self.wrapping.name());
        let failed = |source| VaultError::Wrapping { scope, wrapping: wrapping.clone(), source };
        let sealed = self.wrapping.wrap(&name, key).map_err(failed)?;
        if !self.wrapping.unwrap(&name, &sealed).map_err(failed)?.is(key) {
            let what = "what unwraps the wrapped key is another one";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        let wrapped = Wrapped {
            format: WRAPPED_FORMAT.to_owned(),
            scope: name,
            wrapping: wrapping.clone(),
            key: STANDARD.encode(sealed),
        };
        let text = serde_json::to_vec(&wrapped).map_err(|e| failed(e.into()))?;
        if text.len() as u64 > MAX_WRAPPED_BYTES {
            let what =
                format!("the wrapped key makes a file of more than {MAX_WRAPPED_BYTES} bytes");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Ok(text)
    }

    /// The key of a scope, made if there is none yet; durable in any case.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn make(&self, scope: Scope) -> Result<ContentKey, VaultError> {
        if let Some(key) = self.key(scope)? {
            // Whoever made it may have failed to make its name durable, or not have come so far.
            self.files.settle(scope)?;
            return Ok(key);
        }
        let wrapping = self.wrapping.name();
        let failed = |e| VaultError::Wrapping { scope, wrapping, source: io::Error::other(e) };
        let key = ContentKey::random().map_err(failed)?;
        let text = self.wrap(scope, &key)?;
        if self.files.create(scope, &text)? {
            self.keep(scope, text, key.clone());
            return Ok(key);
        }
        // Another process was quicker: its key counts.
        let io = |source| VaultError::Io { path: self.path(scope), source };
        self.key(scope)?.ok_or_else(|| io(io::ErrorKind::NotFound.into()))
    }

    /// The blobs of a record in `record` under the key of `scope`, as far as there is one.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn blobs(&self, scope: Scope, record: &Path) -> Result<Blobs, VaultError> {
        Ok(Blobs::open(record).with_key(self.key(scope)?))
    }

    /// Destroys the key of a scope: its file, and what is left of one that was wrapped anew, is overwritten, removed, and
    /// the directory synced. Says whether there was one. A file system that writes elsewhere (copy-on-write, flash,
    /// snapshots, backups) may keep the old bytes: they are wrapped, and the wrapping key is what protects them there.
    ///
    /// # Errors
    /// [`VaultError::Io`]; to be called again then.
    pub fn destroy(&self, scope: Scope) -> Result<bool, VaultError> {
        self.lock().remove(&scope);
        self.files.destroy(scope)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Scope, (Vec<u8>, ContentKey)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
