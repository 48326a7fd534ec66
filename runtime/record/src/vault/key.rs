//! The key that a session's content, or the control plane's documents, are sealed with.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use custody_model::Digest;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::blob::cipher::{Opening, Sealing};
use crate::event::SealedName;

/// Bytes of a key with the proof of whose it is.
pub const BOUND_BYTES: usize = 64;

/// A 256-bit data key. Cheap to clone; the last clone wipes it from memory. Each use has a key of its own, derived with
/// HMAC-SHA-256 of the use's name.
#[derive(Clone)]
pub struct ContentKey(Arc<Zeroizing<[u8; 32]>>);

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

impl ContentKey {
    /// A new one from the system's random bytes.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(Arc::new(bytes)))
    }

    /// The key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// The key and a proof of whose it is, for what wraps it outside: whoever mixes up keys or scopes is found out.
    #[must_use]
    pub fn bound_to(&self, scope: &str) -> Zeroizing<[u8; BOUND_BYTES]> {
        let mut bytes = Zeroizing::new([0; BOUND_BYTES]);
        bytes[..32].copy_from_slice(&**self.0);
        bytes[32..].copy_from_slice(&*self.derive("custody/key-of-scope/v1", scope.as_bytes()));
        bytes
    }

    /// The key that [`ContentKey::bound_to`] this scope gave; `None` if the bytes are anything else.
    #[must_use]
    pub fn from_bound(scope: &str, bytes: &[u8]) -> Option<Self> {
        let key = Self::from_bytes(bytes.get(..32)?.try_into().ok()?);
        (key.bound_to(scope).as_slice() == bytes).then_some(key)
    }

    /// Whether it is the same key.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn derive(&self, purpose: &str, data: &[u8]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(keyed(&self.0, &[purpose.as_bytes(), b"\0", data]))
    }

    /// The key that blobs are encrypted with.
    pub(crate) fn blobs(&self) -> Zeroizing<[u8; 32]> {
        self.derive("custody/blob/v1", b"")
    }

    /// The name that a blob has on disk: nobody without the key can tell from it what the content was.
    pub(crate) fn blob_name(&self, digest: &Digest) -> SealedName {
        SealedName::from_bytes(&self.derive("custody/blob-name/v1", digest.as_bytes()))
    }

    /// The salt of the digests of what was redacted.
    #[must_use]
    pub fn salt(&self) -> [u8; 32] {
        *self.derive("custody/redaction-salt/v1", b"")
    }

    /// Seals a small file of the working state, such as a request (form `custody/sealed/v1`).
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn seal(&self, name: &str, content: &[u8]) -> io::Result<Vec<u8>> {
        let key = self.derive("custody/file/v1", b"");
        let mut sealing = Sealing::begin(Vec::new(), &key, name.as_bytes())?;
        sealing.write_all(content)?;
        sealing.finish()
    }

    /// Opens what [`ContentKey::seal`] made under this name.
    ///
    /// # Errors
    /// If it was changed, or sealed with another key or name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
        let key = self.derive("custody/file/v1", b"");
        let mut content = Zeroizing::new(Vec::new());
        Opening::begin(sealed, &key, name.as_bytes())?.read_to_end(&mut content)?;
        Ok(content)
    }
}

/// HMAC-SHA-256 (RFC 2104) over the parts.
pub(crate) fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key shorter than the hash's block is filled up with zeros (RFC 2104, section 2).
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
