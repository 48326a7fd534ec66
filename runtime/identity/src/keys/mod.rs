//! The local issuer: signs tokens with the newest of its keys, and vouches for those that older ones signed.

mod directory;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use custody_model::{Timestamp, TokenId};
use ed25519_dalek::{SigningKey, VerifyingKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::claims::{at_seconds, later, seconds};
use crate::public::{PublicKey, thumbprint};
use crate::token::{ACCESS_TOKEN_TYPE, LocalClaims, scope_claim};
use crate::{
    IssueError, IssuedToken, KeyId, KeySet, MAX_KEYS, MAX_SERVICE_LIFETIME, MAX_TOKEN_BYTES,
    PublicJwk, PublicJwks, TokenRequest, TokenText,
};
use directory::KeyDirectory;

/// How long a key is kept beyond the longest life of a token that it signed: for clocks that differ, and for other
/// processes that have not seen yet that there is a newer key.
pub const RETIRE_MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Why the local issuer's keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Reading or writing.
    #[error("{path}, of the issuer's keys, can't be used", path = .path.display())]
    Io {
        /// A file or the directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner could read or replace a key.
    #[error("{path} is open to others than its owner: mode {mode:03o}, want {want:03o}", path = .path.display())]
    OpenToOthers {
        /// A file or the directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The most that they may be.
        want: u32,
    },
    /// A file that is no key. What it holds instead is not told: it may be most of a key.
    #[error("{path} holds no key of the issuer, or it was damaged", path = .0.display())]
    Malformed(PathBuf),
    /// [`MAX_KEYS`] keys are in use: rotated faster than old ones retire.
    #[error(
        "{MAX_KEYS} keys are in use: the oldest has to retire, or to be removed, before another is made"
    )]
    TooMany,
    /// The kernel gave no random bytes.
    #[error("no random bytes for a new key")]
    Random(#[source] getrandom::Error),
    /// Two moments that can't be put in order.
    #[error("no key can be made at that time")]
    Time,
}

/// Where the keys are, and what the tokens say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIssuerOptions {
    /// The directory of the keys. It is made, with mode 0700, if it is absent; the one above it is not.
    pub dir: PathBuf,
    /// `iss`: the installation's URL or name.
    pub issuer: String,
    /// `aud`: usually the same.
    pub audience: String,
}

/// One key pair.
#[derive(Clone)]
struct KeyPair {
    kid: KeyId,
    made: Timestamp,
    /// From when on it vouches for nothing; `None` for the newest, which signs.
    until: Option<Timestamp>,
    secret: SigningKey,
}

impl KeyPair {
    fn new(secret: SigningKey, made: Timestamp) -> Option<Self> {
        let kid = thumbprint(&secret.verifying_key()).parse().ok()?;
        Some(Self { kid, made, until: None, secret })
    }

    fn public(&self) -> VerifyingKey {
        self.secret.verifying_key()
    }

    fn retired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("kid", &self.kid)
            .field("made", &self.made)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// Puts keys in order of age and says until when each of them is good.
fn in_order(mut keys: Vec<KeyPair>) -> Vec<KeyPair> {
    keys.sort_by(|a, b| (a.made, &a.kid).cmp(&(b.made, &b.kid)));
    let next: Vec<Option<Timestamp>> = keys.iter().skip(1).map(|key| Some(key.made)).collect();
    for (key, next) in keys.iter_mut().zip(next.into_iter().chain([None])) {
        key.until = next.map(|made| later(made, MAX_SERVICE_LIFETIME + RETIRE_MARGIN));
    }
    keys
}

/// The issuer that every installation has. Each of its keys is one file, which is written once and never changed:
/// `key-<thumbprint>.json`. Removing a file withdraws the key, and every token that it signed, at once.
///
/// Several processes may share the directory; each calls [`LocalIssuer::reload`] when a token has an unknown key, and
/// at least once in [`RETIRE_MARGIN`].
#[derive(Clone, Debug)]
pub struct LocalIssuer {
    options: LocalIssuerOptions,
    /// The oldest first; never empty.
    keys: Vec<KeyPair>,
    signer: Signer,
}

#[derive(Clone)]
struct Signer {
    header: Header,
    key: EncodingKey,
}

impl Signer {
    fn new(pair: &KeyPair) -> Self {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(ACCESS_TOKEN_TYPE.to_owned());
        header.kid = Some(pair.kid.to_string());
        // PKCS #8 (RFC 8410, section 7) of an Ed25519 key: what comes before the seed is the same in all of them.
        let mut der = Vec::with_capacity(PKCS8_PREFIX.len() + 32);
        der.extend_from_slice(&PKCS8_PREFIX);
        der.extend_from_slice(pair.secret.as_bytes());
        Self { header, key: EncodingKey::from_ed_der(&der) }
    }
}

const PKCS8_PREFIX: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(redacted)")
    }
}

impl LocalIssuer {
    /// Opens the keys in the directory, and makes the first one if there is none.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(options: LocalIssuerOptions, now: Timestamp) -> Result<Self, KeyError> {
        let directory = KeyDirectory::lock(&options.dir)?;
        let mut keys = directory.read()?;
        if keys.is_empty() {
            keys.push(directory.make(now)?);
        }
        Self::with(options, keys)
    }

    fn with(options: LocalIssuerOptions, keys: Vec<KeyPair>) -> Result<Self, KeyError> {
        let keys = in_order(keys);
        let newest = keys.last().ok_or_else(|| KeyError::Malformed(options.dir.clone()))?;
        let signer = Signer::new(newest);
        Ok(Self { options, keys, signer })
    }

    /// `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.options.issuer
    }

    /// `aud` of its tokens.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.options.audience
    }

    /// Since when the newest key signs: to decide when to rotate.
    #[must_use]
    pub fn signing_since(&self) -> Option<Timestamp> {
        self.keys.last().map(|key| key.made)
    }

    /// Makes a new key, which signs from now on. Older ones vouch for their tokens until the longest-lived that they
    /// can have signed is over; those that are past that are removed.
    ///
    /// # Errors
    /// [`KeyError`]; the keys are as before then, or another call has to remove what is retired.
    pub fn rotate(&mut self, now: Timestamp) -> Result<(), KeyError> {
        let directory = KeyDirectory::lock(&self.options.dir)?;
        let mut keys = in_order(directory.read()?);
        let (retired, kept): (Vec<_>, Vec<_>) = keys.drain(..).partition(|key| key.retired(now));
        if kept.len() >= MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        // The clock may have been put back: the newest key is the newest all the same.
        let made = match kept.last() {
            Some(last) if last.made >= now => last.made.as_micros().checked_add(1),
            Some(_) | None => Some(now.as_micros()),
        };
        let made = Timestamp::from_micros(made.ok_or(KeyError::Time)?);
        let mut keys = kept;
        keys.push(directory.make(made)?);
        *self = Self::with(self.options.clone(), keys)?;
        directory.remove(&retired)
    }

    /// Reads the keys again: another process may have rotated them.
    ///
    /// # Errors
    /// [`KeyError`]; the keys are as before then.
    pub fn reload(&mut self, now: Timestamp) -> Result<(), KeyError> {
        *self = Self::open(self.options.clone(), now)?;
        Ok(())
    }

    /// The public keys, to check tokens with. Each goes out of use by itself when it retires.
    #[must_use]
    pub fn key_set(&self) -> KeySet {
        let mut set = KeySet::default();
        for pair in &self.keys {
            // A key that we made is never weak.
            if let Ok(key) = PublicKey::ed25519(pair.public().as_bytes()) {
                set.insert(pair.kid.clone(), key, pair.until);
            }
        }
        set
    }

    /// The public keys that are not retired, to serve.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> PublicJwks {
        let live = self.keys.iter().filter(|pair| !pair.retired(now));
        let keys = live.map(|pair| PublicJwk::ed25519(&pair.public(), pair.kid.clone()));
        PublicJwks { keys: keys.collect() }
    }

    /// Makes a token with the id `id`, valid from `now`.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(
        &self,
        request: &TokenRequest,
        id: TokenId,
        now: Timestamp,
    ) -> Result<IssuedToken, IssueError> {
        let longest = crate::max_lifetime(request.kind);
        if request.lifetime < Duration::from_secs(1) || request.lifetime > longest {
            return Err(IssueError::Lifetime { longest });
        }
        let iat = seconds(now);
        let expires_at = later(at_seconds(iat), Duration::from_secs(request.lifetime.as_secs()));
        let claims = LocalClaims {
            iss: &self.options.issuer,
            aud: &self.options.audience,
            sub: request.user.as_str(),
            jti: id.to_string(),
            iat,
            nbf: iat,
            exp: seconds(expires_at),
            scope: scope_claim(&request.scopes),
            kind: request.kind.as_str(),
        };
        let text = jsonwebtoken::encode(&self.signer.header, &claims, &self.signer.key)
            .map_err(IssueError::Sign)?;
        if text.len() > MAX_TOKEN_BYTES {
            return Err(IssueError::TooLong);
        }
        Ok(IssuedToken { text: TokenText::new(text), id, expires_at })
    }
}

#[cfg(test)]
mod tests;
