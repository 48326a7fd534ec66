//! The installation's key: Ed25519 (RFC 8032), in the text forms of C2SP signed-note v1.0.0.
//!
//! `installation.key` is `PRIVATE+KEY+<name>+<hash>+<base64(1 ‖ seed)>`, as other tools for signed notes read it;
//! `installation.vkey` is `<name>+<hash>+<base64(1 ‖ public key)>`. A log's checkpoints are signed by the same
//! key under the log's origin as its name, because a checkpoint's key is named like its log, and under its own name, so that the
//! key that is handed out checks them.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::SessionId;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::history::{HistoryError, KeyHistory};
use super::term::{Term, Termed};

/// Algorithm byte of Ed25519.
const ED25519: u8 = 1;

/// Longest verifier key that is read from a file, in bytes.
const MAX_VKEY_BYTES: u64 = 4096;

/// Why the installation's key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or making the file.
    #[error("the key file {path} can't be used")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file's content.
    #[error("the key file {0} holds no Ed25519 signed-note key, or it was damaged")]
    Malformed(PathBuf),
    /// The verifier's text.
    #[error("the key file {path} holds no verifier key")]
    Verifier {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidVerifier,
    },
    /// The history of keys.
    #[error("the history of keys in {path} can't be used")]
    History {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: HistoryError,
    },
    /// The key is not the one that the history ends with.
    #[error("the key file {0} holds another key than the history of keys ends with")]
    NotInForce(PathBuf),
    /// There was a key, and it is gone: another would be another installation's.
    #[error(
        "the key file {0} is gone, and what it signed is there: no other key is made; put it back from its backup"
    )]
    Gone(PathBuf),
    /// The kernel gave no random bytes.
    #[error("no random bytes for a new key")]
    Random(#[source] getrandom::Error),
}

/// Why a text is no verifier key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an Ed25519 verifier key: <name>+<8 hex digits>+<base64> is wanted")]
pub struct InvalidVerifier(String);

fn key_hash(name: &str, public: &VerifyingKey) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new_with_prefix(name.as_bytes())
        .chain_update([b'\n', ED25519])
        .chain_update(public.as_bytes())
        .finalize()
        .into();
    [digest[0], digest[1], digest[2], digest[3]]
}

pub(super) fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// A public key with its name, and the installation's earlier keys if a history of them was given. Text form: the
/// verifier key (vkey) of signed notes, of the one key in force. Two are equal if that key is the same.
#[derive(Clone)]
pub struct Verifier {
    name: String,
    /// The one in force, then those before it, the newest first.
    keys: Arc<[Termed]>,
}

impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.public() == other.public()
    }
}

impl Eq for Verifier {}

impl Verifier {
    fn single(name: &str, public: VerifyingKey) -> Self {
        Self { name: name.to_owned(), keys: Arc::new([Termed { public, term: Term::default() }]) }
    }

    /// Of keys of which there is at least one.
    pub(super) fn with_keys(name: &str, keys: &Arc<[Termed]>) -> Self {
        debug_assert!(!keys.is_empty());
        Self { name: name.to_owned(), keys: keys.clone() }
    }

    /// All keys, to share.
    pub(super) fn shared_keys(&self) -> Arc<[Termed]> {
        self.keys.clone()
    }

    /// The key in force.
    pub(super) fn public(&self) -> &VerifyingKey {
        &self.keys[0].public
    }

    /// The key in force, without those before it.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self::single(&self.name, *self.public())
    }

    /// Every key that is known, each alone and with its term, the newest first.
    pub fn keys(&self) -> impl Iterator<Item = (Self, Term)> + '_ {
        self.keys.iter().map(|key| (Self::single(&self.name, key.public), key.term))
    }

    /// Whether that key is the one in force or one before it.
    #[must_use]
    pub fn knows(&self, key: &Self) -> bool {
        self.name == key.name && self.keys.iter().any(|known| known.public == *key.public())
    }

    /// The verifier of the installation whose keys are in `dir`, with its earlier keys.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn of_installation(dir: &Path) -> Result<Self, KeyError> {
        Ok(KeyHistory::read(dir)?.verifier())
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key under another name, as that of a log.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { name: name.to_owned(), keys: self.keys.clone() }
    }

    /// The four bytes that a signature line names the key with.
    #[must_use]
    pub fn hash(&self) -> [u8; 4] {
        key_hash(&self.name, self.public())
    }

    /// Name and hash, as in `custody/1f0c…+2b7e1516`.
    #[must_use]
    pub fn id(&self) -> String {
        let [a, b, c, d] = self.hash();
        format!("{}+{a:02x}{b:02x}{c:02x}{d:02x}", self.name)
    }

    /// Origin of a session's log in this installation.
    #[must_use]
    pub fn session_origin(&self, session: SessionId) -> String {
        format!("{}/session/{session}", self.name)
    }

    /// Origin of the installation log.
    #[must_use]
    pub fn log_origin(&self) -> String {
        format!("{}/log", self.name)
    }

    /// Origin of the control log.
    #[must_use]
    pub fn control_origin(&self) -> String {
        format!("{}/control", self.name)
    }

    /// Strict verification with the key in force: malleable signatures and weak keys are refused.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|s| self.public().verify_strict(message, &s).is_ok())
    }

    /// Reads a file that holds one verifier key.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Verifier`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mut text = String::new();
        fs::File::open(path)
            .and_then(|file| file.take(MAX_VKEY_BYTES).read_to_string(&mut text))
            .map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        text.parse().map_err(|source| KeyError::Verifier { path: path.to_owned(), source })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![ED25519];
        raw.extend_from_slice(self.public().as_bytes());
        write!(f, "{}+{}", self.id(), STANDARD.encode(raw))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Verifier {
    type Err = InvalidVerifier;

    fn from_str(text: &str) -> Result<Self, InvalidVerifier> {
        let parse = || {
            let (name, rest) = text.split_once('+')?;
            let (_, raw) = rest.split_once('+')?;
            let raw = STANDARD.decode(raw).ok()?;
            let (&ED25519, public) = raw.split_first()? else {
                return None;
            };
            let public = VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
            let verifier = Self::single(name, public);
            // One text per key: it also checks the hash.
            (valid_name(name) && verifier.to_string() == text).then_some(verifier)
        };
        parse().ok_or_else(|| InvalidVerifier(text.to_owned()))
    }
}

/// The installation's signing key, as it was when it was read.
#[derive(Clone)]
pub struct Keys {
    name: String,
    pub(super) signing: SigningKey,
    /// All keys, this one first.
    pub(super) known: Arc<[Termed]>,
    /// Where it was read from, and how long the history there was.
    pub(super) place: Option<(PathBuf, u64)>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.verifier().id())
    }
}

impl Keys {
    /// A key from its 32-byte seed.
    ///
    /// # Panics
    /// If the name is not one of signed notes: empty, or with white space or `+`.
    #[must_use]
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Self {
        assert!(valid_name(name), "{name:?} can't name a key of signed notes");
        let signing = SigningKey::from_bytes(&seed);
        let known = Arc::new([Termed { public: signing.verifying_key(), term: Term::default() }]);
        Self { name: name.to_owned(), signing, known, place: None }
    }

    pub(super) fn private_text(&self) -> String {
        let mut raw = vec![ED25519];
        raw.extend_from_slice(self.signing.as_bytes());
        format!("PRIVATE+KEY+{}+{}", self.verifier().id(), STANDARD.encode(raw))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.strip_prefix("PRIVATE+KEY+")?.split_once('+')?;
        let raw = STANDARD.decode(rest.split_once('+')?.1).ok()?;
        let (&ED25519, seed) = raw.split_first()? else {
            return None;
        };
        let keys =
            valid_name(name).then(|| Some(Self::from_seed(name, seed.try_into().ok()?)))??;
        (keys.private_text() == text).then_some(keys)
    }

    /// The installation's name: the first part of every origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The verifier key in its text form.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.verifier().to_string()
    }

    /// The public half, with the installation's earlier keys.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier::with_keys(&self.name, &self.known)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}
