//! What wraps data keys: the installation's own key in a file, or something outside that the installation asks.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::{ContentKey, keyed};
use crate::disk;

/// What the file of a wrapping key begins with: the format and its version.
const PREFIX: &str = "custody/wrapping-key/v1 ";

/// Wraps and unwraps data keys. `scope` says whose key it is; what was wrapped for one scope opens for no other.
pub trait Wrapping: Send + Sync + std::fmt::Debug {
    /// Which wrapping this is, for the file of the wrapped key: a key's name, never a secret.
    fn name(&self) -> String;

    /// Wraps a key.
    ///
    /// # Errors
    /// Whatever goes wrong on the way to the wrapping key.
    fn wrap(&self, scope: &str, key: &ContentKey) -> io::Result<Vec<u8>>;

    /// Unwraps it.
    ///
    /// # Errors
    /// As [`Wrapping::wrap`], and if it was wrapped by something else or changed.
    fn unwrap(&self, scope: &str, wrapped: &[u8]) -> io::Result<ContentKey>;
}

/// A wrapping key in a file of mode 0600.
#[derive(Clone)]
pub struct FileWrapping {
    key: ContentKey,
}

impl std::fmt::Debug for FileWrapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileWrapping({})", self.name())
    }
}

impl FileWrapping {
    /// Opens the key in `path` and makes it at first use.
    ///
    /// # Errors
    /// If the file can't be made or read, or holds no such key.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(dir, path)?,
            Err(error) => return Err(error),
        };
        let key = Self::parse(Zeroizing::new(text)).ok_or_else(|| {
            let what = "the file holds no key of the form custody/wrapping-key/v1";
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(Self { key })
    }

    fn parse(text: Zeroizing<String>) -> Option<ContentKey> {
        let encoded = text.trim_end().strip_prefix(PREFIX)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        Some(ContentKey::from_bytes(bytes.as_slice().try_into().ok()?))
    }

    fn make(dir: &Path, path: &Path) -> io::Result<String> {
        let key = ContentKey::random().map_err(io::Error::other)?;
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let temporary: PathBuf = dir.join(format!(".new-{:016x}", u64::from_le_bytes(name)));
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        let text = Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode(key.bytes())));
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link never replaces: of two processes that start at once, one key wins.
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        disk::real().sync_dir(dir)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => fs::read_to_string(path),
        }
    }
}

impl Wrapping for FileWrapping {
    fn name(&self) -> String {
        let digest = keyed(self.key.bytes(), &[b"custody/wrapping-key-name/v1"]);
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("file/{name}")
    }

    fn wrap(&self, scope: &str, key: &ContentKey) -> io::Result<Vec<u8>> {
        self.key.seal(&format!("key of {scope}"), key.bytes())
    }

    fn unwrap(&self, scope: &str, wrapped: &[u8]) -> io::Result<ContentKey> {
        let bytes = self.key.open(&format!("key of {scope}"), wrapped)?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "what was wrapped is no 256-bit key")
        })?;
        Ok(ContentKey::from_bytes(bytes))
    }
}
