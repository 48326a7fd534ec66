//! The directory of the local issuer's keys: one file a key, under a lock between processes, closed to others.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custody_model::Timestamp;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::{KeyError, KeyPair};

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Of a file before it has its name: the lock's holder is the only writer, so one name is enough.
const NEW: &str = ".new";

/// A key as it is kept: a private JWK (RFC 8037, section 2) and when it was made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    kty: String,
    crv: String,
    kid: String,
    x: String,
    d: String,
    made: Timestamp,
}

impl KeyFile {
    fn of(pair: &KeyPair) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            kid: pair.kid.to_string(),
            x: URL_SAFE_NO_PAD.encode(pair.public().as_bytes()),
            d: URL_SAFE_NO_PAD.encode(pair.secret.as_bytes()),
            made: pair.made,
        }
    }

    /// The pair, if all members agree with the seed.
    fn pair(&self) -> Option<KeyPair> {
        let seed: [u8; 32] = URL_SAFE_NO_PAD.decode(&self.d).ok()?.try_into().ok()?;
        let pair = KeyPair::new(SigningKey::from_bytes(&seed), self.made)?;
        let same = Self::of(&pair);
        let agree = (&same.kty, &same.crv, &same.kid, &same.x)
            == (&self.kty, &self.crv, &self.kid, &self.x);
        agree.then_some(pair)
    }
}

fn file_name(kid: &str) -> String {
    format!("key-{kid}.json")
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    |source| KeyError::Io { path: path.to_owned(), source }
}

fn closed(path: &Path, mode: u32, want: u32) -> Result<(), KeyError> {
    let mode = mode & 0o7777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyError::OpenToOthers { path: path.to_owned(), mode, want })
    }
}

/// The directory, locked against other openings of it until this is dropped.
pub(super) struct KeyDirectory {
    path: PathBuf,
    _lock: File,
}

impl KeyDirectory {
    /// Makes the directory if it is absent, and waits for its lock.
    pub(super) fn lock(path: &Path) -> Result<Self, KeyError> {
        let made = DirBuilder::new().mode(DIR_MODE).create(path);
        match made {
            Ok(()) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                sync(parent.unwrap_or(Path::new("."))).map_err(io_error(path))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error(path)(error)),
        }
        let mode = fs::metadata(path).map_err(io_error(path))?.permissions().mode();
        closed(path, mode, DIR_MODE)?;
        let lock_path = path.join(".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(&lock_path)
            .map_err(io_error(&lock_path))?;
        lock.lock().map_err(io_error(&lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// All keys, in no order.
    pub(super) fn read(&self) -> Result<Vec<KeyPair>, KeyError> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io_error(&self.path))? {
            let path = entry.map_err(io_error(&self.path))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("key-") && name.ends_with(".json") {
                let pair = read_key(&path)?;
                if name != file_name(pair.kid.as_str()) {
                    return Err(KeyError::Malformed(path));
                }
                keys.push(pair);
            }
        }
        Ok(keys)
    }

    /// Makes a key, which is durable when this returns.
    pub(super) fn make(&self, made: Timestamp) -> Result<KeyPair, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        let pair = KeyPair::new(SigningKey::from_bytes(&seed), made)
            .ok_or_else(|| KeyError::Malformed(self.path.clone()))?;
        let path = self.path.join(file_name(pair.kid.as_str()));
        self.write(&path, &KeyFile::of(&pair)).map_err(io_error(&path))?;
        Ok(pair)
    }

    fn write(&self, path: &Path, file: &KeyFile) -> io::Result<()> {
        let new = self.path.join(NEW);
        match fs::remove_file(&new) {
            // Left by a process that died here.
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let bytes = serde_json::to_vec(file)?;
        let mut out = OpenOptions::new().create_new(true).write(true).mode(FILE_MODE).open(&new)?;
        out.write_all(&bytes)?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&new, path)?;
        sync(&self.path)
    }

    /// Removes keys; those that are gone already count as removed.
    pub(super) fn remove(&self, keys: &[KeyPair]) -> Result<(), KeyError> {
        for key in keys {
            let path = self.path.join(file_name(key.kid.as_str()));
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&path)(error)),
            }
        }
        if keys.is_empty() { Ok(()) } else { sync(&self.path).map_err(io_error(&self.path)) }
    }
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn read_key(path: &Path) -> Result<KeyPair, KeyError> {
    let mode = fs::symlink_metadata(path).map_err(io_error(path))?.permissions().mode();
    closed(path, mode, FILE_MODE)?;
    let bytes = fs::read(path).map_err(io_error(path))?;
    let file: Option<KeyFile> = serde_json::from_slice(&bytes).ok();
    file.and_then(|file| file.pair()).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}
