//! Key sets of issuers: JWKS (RFC 7517, section 5), read with limits and without trust in what they say of themselves.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use custody_model::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use crate::public::{ED25519_ALGORITHM, PublicKey, RSA_ALGORITHM, Unusable};
use crate::{InvalidKeyId, KeyId};

/// Largest key set, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 256 << 10;

/// Most keys in a set, those that are passed over included.
pub const MAX_KEYS: usize = 64;

/// Why bytes are no key set that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Longer than [`MAX_KEY_SET_BYTES`].
    #[error("the key set is longer than {MAX_KEY_SET_BYTES} bytes")]
    TooLong,
    /// No JSON of that form.
    #[error("the key set is no JWKS document")]
    Malformed(#[source] serde_json::Error),
    /// More than [`MAX_KEYS`].
    #[error("the key set has more than {MAX_KEYS} keys")]
    TooMany,
    /// No key that could sign a token.
    #[error("the key set has no Ed25519 or RSA key for signatures")]
    NoKeys,
    /// A key's id.
    #[error("key {index} of the set has no valid id")]
    KeyId {
        /// Which, from 0.
        index: usize,
        /// Why.
        #[source]
        source: InvalidKeyId,
    },
    /// Two keys of one id.
    #[error("key {index} of the set has the id of another: {kid}")]
    Duplicate {
        /// The later one, from 0.
        index: usize,
        /// Their id.
        kid: KeyId,
    },
    /// A private key: whoever published it has to replace it.
    #[error("key {index} of the set is a private key")]
    Private {
        /// Which, from 0.
        index: usize,
    },
    /// The bytes of a key.
    #[error("key {index} of the set is not well formed")]
    Key {
        /// Which, from 0.
        index: usize,
    },
    /// An RSA key that is too short or too long, or a point of small order.
    #[error("key {index} of the set is too weak, or longer than what is checked")]
    Strength {
        /// Which, from 0.
        index: usize,
    },
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: BTreeMap<KeyId, Entitled>,
}

#[derive(Clone, Debug)]
struct Entitled {
    key: PublicKey,
    until: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Key>,
}

/// What is read of a key; other members are its issuer's business (RFC 7517, section 4).
#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    n: Option<String>,
    e: Option<String>,
    #[serde(default, deserialize_with = "present")]
    d: bool,
}

/// A member whose value does not matter.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// The types of keys that are used.
enum Kind {
    Ed25519,
    Rsa,
}

impl Key {
    /// `None` for a key that is for something else than signatures of ours: RFC 7517, section 5, wants those passed over.
    fn kind(&self) -> Option<Kind> {
        let (kind, algorithm) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, ED25519_ALGORITHM),
            ("RSA", _) => (Kind::Rsa, RSA_ALGORITHM),
            _ => return None,
        };
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm);
        signs.then_some(kind)
    }

    fn public(&self, kind: &Kind) -> Result<PublicKey, Unusable> {
        let bytes = |member: &Option<String>| {
            let text = member.as_deref().ok_or(Unusable::Malformed)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Unusable::Malformed)
        };
        match kind {
            Kind::Ed25519 => PublicKey::ed25519(&bytes(&self.x)?),
            Kind::Rsa => PublicKey::rsa(&bytes(&self.n)?, &bytes(&self.e)?),
        }
    }
}

impl KeySet {
    /// Reads a JWKS document. Keys of other types, and keys that are for something else than `EdDSA` or `RS256`
    /// signatures, are passed over; anything else that is wrong refuses the whole set.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        if bytes.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLong);
        }
        let document: Document = serde_json::from_slice(bytes).map_err(KeySetError::Malformed)?;
        if document.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut seen = BTreeMap::new();
        for (index, key) in document.keys.iter().enumerate() {
            if key.d {
                return Err(KeySetError::Private { index });
            }
            let kind = key.kind();
            let kid: KeyId = match (&key.kid, &kind) {
                (Some(kid), _) => {
                    kid.parse().map_err(|source| KeySetError::KeyId { index, source })?
                }
                (None, None) => continue,
                (None, Some(_)) => {
                    return Err(KeySetError::KeyId { index, source: InvalidKeyId::Missing });
                }
            };
            let public = kind.map(|kind| key.public(&kind)).transpose().map_err(|e| match e {
                Unusable::Malformed => KeySetError::Key { index },
                Unusable::Strength => KeySetError::Strength { index },
            })?;
            match seen.entry(kid) {
                Entry::Vacant(place) => place.insert(public),
                Entry::Occupied(place) => {
                    return Err(KeySetError::Duplicate { index, kid: place.key().clone() });
                }
            };
        }
        let usable = |(kid, key): (_, Option<_>)| Some((kid, Entitled { key: key?, until: None }));
        let keys: BTreeMap<_, _> = seen.into_iter().filter_map(usable).collect();
        if keys.is_empty() { Err(KeySetError::NoKeys) } else { Ok(Self { keys }) }
    }

    pub(crate) fn insert(&mut self, kid: KeyId, key: PublicKey, until: Option<Timestamp>) {
        self.keys.insert(kid, Entitled { key, until });
    }

    /// The key of that id, unless it is retired by `now`.
    pub(crate) fn key(&self, kid: &KeyId, now: Timestamp) -> Option<&PublicKey> {
        let entitled = self.keys.get(kid)?;
        entitled.until.is_none_or(|until| now < until).then_some(&entitled.key)
    }

    /// The ids of the keys.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }
}

#[cfg(test)]
mod tests;
