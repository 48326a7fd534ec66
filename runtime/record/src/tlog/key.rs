//! The installation's key: Ed25519 (RFC 8032), in the text forms of C2SP signed-note v1.0.0.
//!
//! `installation.key` is `PRIVATE+KEY+<name>+<hash>+<base64(1 ‖ seed)>`, as other tools for signed notes read it;
//! `installation.vkey` is `<name>+<hash>+<base64(1 ‖ public key)>`. A log's checkpoints are signed by the same
//! key under the log's origin as its name, because a checkpoint's key is named like its log.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::SessionId;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::disk;
use crate::durable;

/// Algorithm byte of Ed25519.
const ED25519: u8 = 1;

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

fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// A public key with its name. Text form: the verifier key (vkey) of signed notes.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: VerifyingKey,
}

impl Verifier {
    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same key under another name, as that of a log.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        Self { name: name.to_owned(), public: self.public }
    }

    /// The four bytes that a signature line names the key with.
    #[must_use]
    pub fn hash(&self) -> [u8; 4] {
        key_hash(&self.name, &self.public)
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

    /// Strict verification: malleable signatures and weak keys are refused.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|s| self.public.verify_strict(message, &s).is_ok())
    }

    /// Reads a file that holds one verifier key.
    ///
    /// # Errors
    /// [`KeyError::Io`], [`KeyError::Verifier`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path)
            .map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        text.parse().map_err(|source| KeyError::Verifier { path: path.to_owned(), source })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![ED25519];
        raw.extend_from_slice(self.public.as_bytes());
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
            let verifier = Self { name: name.to_owned(), public };
            // One text per key: it also checks the hash.
            (valid_name(name) && verifier.to_string() == text).then_some(verifier)
        };
        parse().ok_or_else(|| InvalidVerifier(text.to_owned()))
    }
}

/// The installation's signing key.
#[derive(Clone)]
pub struct Keys {
    name: String,
    signing: SigningKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.verifier().id())
    }
}

impl Keys {
    /// Opens the keys in `dir` (`installation.key`, mode 0600, and `installation.vkey`) and makes them at first use,
    /// with the name `custody/` and 16 random hex digits.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(dir: &Path) -> Result<Self, KeyError> {
        let path = dir.join("installation.key");
        let io = |source| KeyError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let keys = match fs::read_to_string(&path) {
            Ok(text) => {
                Self::parse(text.trim_end()).ok_or_else(|| KeyError::Malformed(path.clone()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(dir, &path)?,
            Err(error) => return Err(io(error)),
        };
        let public = dir.join("installation.vkey");
        if !public.exists() {
            durable::replace(&*disk::real(), &public, format!("{}\n", keys.verifier()).as_bytes())
                .map_err(io)?;
        }
        Ok(keys)
    }

    fn make(dir: &Path, path: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let mut random = [0; 40];
        getrandom::fill(&mut random).map_err(KeyError::Random)?;
        let (seed, id) = random.split_at(32);
        let id = id.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let mut bytes = [0; 32];
        bytes.copy_from_slice(seed);
        let keys = Self::from_seed(&format!("custody/{id}"), bytes);
        let temporary = dir.join(format!(".installation.key.{id}"));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io)?;
        file.write_all(format!("{}\n", keys.private_text()).as_bytes()).map_err(io)?;
        file.sync_all().map_err(io)?;
        // A link never replaces: of two processes that start at once, one key wins.
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary).map_err(io)?;
        disk::real().sync_dir(dir).map_err(io)?;
        match linked {
            Ok(()) => Ok(keys),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let text = fs::read_to_string(path).map_err(io)?;
                Self::parse(text.trim_end()).ok_or_else(|| KeyError::Malformed(path.to_owned()))
            }
            Err(error) => Err(io(error)),
        }
    }

    /// A key from its 32-byte seed.
    ///
    /// # Panics
    /// If the name is not one of signed notes: empty, or with white space or `+`.
    #[must_use]
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Self {
        assert!(valid_name(name), "{name:?} can't name a key of signed notes");
        Self { name: name.to_owned(), signing: SigningKey::from_bytes(&seed) }
    }

    fn private_text(&self) -> String {
        let mut raw = vec![ED25519];
        raw.extend_from_slice(self.signing.as_bytes());
        format!("PRIVATE+KEY+{}+{}", self.verifier().id(), STANDARD.encode(raw))
    }

    fn parse(text: &str) -> Option<Self> {
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

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier { name: self.name.clone(), public: self.signing.verifying_key() }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}
