//! What witnesses say: timestamped Ed25519 cosignatures, `cosignature/v1` of C2SP tlog-cosignature v1.0.1.
//!
//! A cosignature is a signature line of a checkpoint. It signs a header, the time and the note's text: that as of then this
//! was the largest consistent head of the log that the cosigner had seen.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::key::valid_name;
use super::note::{Note, NoteError, NoteSignature};

/// Signature type of timestamped Ed25519 cosignatures.
const COSIGNATURE: u8 = 4;

/// Signature type of Ed25519: private keys of witnesses are written with it, as other witnesses read them.
const ED25519: u8 = 1;

/// Latest time that the format has.
const MAX_TIME: u64 = i64::MAX as u64;

/// Why a text is no cosigner's key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no key of an Ed25519 cosigner: <name>+<8 hex digits>+<base64 of 0x04 and the key> is wanted"
)]
pub struct InvalidCosigner(String);

/// A witness's public key with its name. Text form: the verifier key of signed notes, type 0x04.
#[derive(Clone, PartialEq, Eq)]
pub struct Cosigner {
    name: String,
    public: VerifyingKey,
}

fn key_hash(name: &str, kind: u8, public: &VerifyingKey) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new_with_prefix(name.as_bytes())
        .chain_update([b'\n', kind])
        .chain_update(public.as_bytes())
        .finalize()
        .into();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn key_text(name: &str, kind: u8, public: &VerifyingKey, material: &[u8]) -> String {
    let [a, b, c, d] = key_hash(name, kind, public);
    let raw = [&[kind], material].concat();
    format!("{name}+{a:02x}{b:02x}{c:02x}{d:02x}+{}", STANDARD.encode(raw))
}

fn message(time: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {time}\n{text}").into_bytes()
}

impl Cosigner {
    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that a signature line names the key with.
    #[must_use]
    pub fn hash(&self) -> [u8; 4] {
        key_hash(&self.name, COSIGNATURE, &self.public)
    }

    /// Whether it is the same key, whatever its name.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// When the cosigner saw this head, in seconds since 1970 (POSIX); the latest, if it says so more than once. `None` if it
    /// says nothing.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`]: a line of this key does not fit, and the note is worthless.
    pub fn cosigned(&self, note: &Note) -> Result<Option<u64>, NoteError> {
        let mut latest = None;
        for line in note.lines_of(&self.name, self.hash()) {
            let time = self.time_of(line, note.text());
            let bad = || NoteError::BadSignature(self.to_string());
            latest = latest.max(Some(time.ok_or_else(bad)?));
        }
        Ok(latest)
    }

    fn time_of(&self, line: &[u8], text: &str) -> Option<u64> {
        let (time, signature) = line.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let signature = Signature::from_slice(signature).ok()?;
        let fits = self.public.verify_strict(&message(time, text), &signature).is_ok();
        (fits && (1..=MAX_TIME).contains(&time)).then_some(time)
    }
}

impl fmt::Display for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&key_text(&self.name, COSIGNATURE, &self.public, self.public.as_bytes()))
    }
}

impl fmt::Debug for Cosigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cosigner {
    type Err = InvalidCosigner;

    fn from_str(text: &str) -> Result<Self, InvalidCosigner> {
        let parse = || {
            let (name, rest) = text.split_once('+')?;
            let raw = STANDARD.decode(rest.split_once('+')?.1).ok()?;
            let (&COSIGNATURE, public) = raw.split_first()? else { return None };
            let public = VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
            let cosigner = Self { name: name.to_owned(), public };
            (valid_name(name) && cosigner.to_string() == text).then_some(cosigner)
        };
        parse().ok_or_else(|| InvalidCosigner(text.to_owned()))
    }
}

/// A witness's signing key. Text form: `PRIVATE+KEY+<name>+<hash>+<base64(1 ‖ seed)>`, as other witnesses read it.
#[derive(Clone)]
pub struct WitnessKey {
    name: String,
    signing: SigningKey,
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({})", self.cosigner())
    }
}

impl WitnessKey {
    /// A key from its 32-byte seed. `None` if the name can't be one: empty, or with white space or `+`.
    #[must_use]
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Option<Self> {
        let key = || Self { name: name.to_owned(), signing: SigningKey::from_bytes(&seed) };
        valid_name(name).then(key)
    }

    /// The public half.
    #[must_use]
    pub fn cosigner(&self) -> Cosigner {
        Cosigner { name: self.name.clone(), public: self.signing.verifying_key() }
    }

    /// The secret, as it is kept.
    #[must_use]
    pub fn private_text(&self) -> String {
        let public = self.signing.verifying_key();
        let text = key_text(&self.name, ED25519, &public, self.signing.as_bytes());
        format!("PRIVATE+KEY+{text}")
    }

    /// Parses what [`WitnessKey::private_text`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.strip_prefix("PRIVATE+KEY+")?.split_once('+')?;
        let raw = STANDARD.decode(rest.split_once('+')?.1).ok()?;
        let (&ED25519, seed) = raw.split_first()? else { return None };
        let key = Self::from_seed(name, seed.try_into().ok()?)?;
        (key.private_text() == text).then_some(key)
    }

    /// Says that as of `time`, in seconds since 1970, the note is the largest consistent head that was seen of its log.
    #[must_use]
    pub fn cosign(&self, note: &Note, time: u64) -> NoteSignature {
        let mut signature = time.to_be_bytes().to_vec();
        signature.extend(self.signing.sign(&message(time, note.text())).to_bytes());
        NoteSignature { name: self.name.clone(), hash: self.cosigner().hash(), signature }
    }
}
