//! What wraps data keys: the installation's own key in a file, or something outside that the installation asks.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::key::{ContentKey, keyed};

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
    /// What the name of each of them begins with.
    pub(super) const NAMES: &str = "file/";

    /// The key in `path`, if that is there.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let key = Self::parse(&text).ok_or_else(|| {
            let what = "the file holds no key of the form custody/wrapping-key/v1";
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(Some(Self { key }))
    }

    fn parse(text: &str) -> Option<ContentKey> {
        let encoded = text.trim_end().strip_prefix(PREFIX)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        Some(ContentKey::from_bytes(bytes.as_slice().try_into().ok()?))
    }

    /// A new key, and the text of its file.
    pub(super) fn random() -> io::Result<(Self, Zeroizing<String>)> {
        let key = ContentKey::random().map_err(io::Error::other)?;
        let text = Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode(key.bytes())));
        Ok((Self { key }, text))
    }
}

impl Wrapping for FileWrapping {
    fn name(&self) -> String {
        let digest = keyed(self.key.bytes(), &[b"custody/wrapping-key-name/v1"]);
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{name}", Self::NAMES)
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
