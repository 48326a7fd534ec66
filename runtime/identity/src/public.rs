//! Public keys: how they are written (RFC 7517, RFC 8037), named (RFC 7638) and used to check a signature.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use jsonwebtoken::{Algorithm, DecodingKey};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::KeyId;

/// Shortest RSA modulus, in bits (RFC 7518, section 3.3).
pub const MIN_RSA_BITS: usize = 2048;

/// Longest RSA modulus, in bits: the time of a check grows with it.
pub const MAX_RSA_BITS: usize = 4096;

/// Smallest RSA exponent (FIPS 186-5, section 5.4).
const MIN_RSA_EXPONENT: u64 = 65_537;

/// Longest RSA exponent, in bytes.
const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// A public key with the one algorithm that it is used with, which its type decides and never a token.
#[derive(Clone)]
pub(crate) struct PublicKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why bytes are no public key that is used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is not well formed")]
    Malformed,
    #[error("it is too weak, or longer than what is checked here")]
    Strength,
}

impl PublicKey {
    /// Ed25519 (RFC 8037), used with `EdDSA`.
    pub(crate) fn ed25519(x: &[u8]) -> Result<Self, Unusable> {
        // jsonwebtoken takes the first 32 bytes of whatever it is given, and panics on less.
        let bytes = x.try_into().map_err(|_| Unusable::Malformed)?;
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| Unusable::Malformed)?;
        if point.is_weak() {
            return Err(Unusable::Strength);
        }
        Ok(Self { algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_der(bytes) })
    }

    /// RSA by modulus and exponent, both big-endian, used with `RS256`.
    pub(crate) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, Unusable> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let (Some(first), Some(last)) = (n.first(), n.last()) else {
            return Err(Unusable::Malformed);
        };
        if e.len() > MAX_RSA_EXPONENT_BYTES {
            return Err(Unusable::Strength);
        }
        let exponent = e.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        if exponent % 2 == 0 || last % 2 == 0 {
            return Err(Unusable::Malformed);
        }
        let bits = n.len() * 8 - first.leading_zeros() as usize;
        if exponent < MIN_RSA_EXPONENT || !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(Unusable::Strength);
        }
        let key = DecodingKey::from_rsa_raw_components(n, e);
        Ok(Self { algorithm: Algorithm::RS256, key })
    }

    /// The value of `alg` that goes with the key (RFC 7518, section 3.1; RFC 8037, section 3.1).
    pub(crate) fn algorithm(&self) -> &'static str {
        if self.algorithm == Algorithm::EdDSA { ED25519_ALGORITHM } else { RSA_ALGORITHM }
    }

    /// Whether `signature` (base64url) is the key's over `message`; an error if it can't be read.
    pub(crate) fn verify(
        &self,
        message: &str,
        signature: &str,
    ) -> Result<bool, jsonwebtoken::errors::Error> {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.algorithm())
    }
}

pub(crate) const ED25519_ALGORITHM: &str = "EdDSA";
pub(crate) const RSA_ALGORITHM: &str = "RS256";

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// An Ed25519 public key as JWK (RFC 7517, RFC 8037).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublicJwk {
    kty: &'static str,
    crv: &'static str,
    /// The public key, in base64url.
    x: String,
    /// Its RFC 7638 thumbprint.
    #[schemars(with = "String")]
    kid: KeyId,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}

/// A set of public keys as JWKS (RFC 7517, section 5), to serve as `application/jwk-set+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublicJwks {
    /// The keys, the one that signs last.
    pub keys: Vec<PublicJwk>,
}

impl PublicJwk {
    /// Its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    pub(crate) fn ed25519(public: &VerifyingKey, kid: KeyId) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            x: URL_SAFE_NO_PAD.encode(public.as_bytes()),
            kid,
            alg: ED25519_ALGORITHM,
            usage: "sig",
        }
    }
}

/// The thumbprint (RFC 7638 with SHA-256; RFC 8037, section 2) of an Ed25519 key, in base64url.
pub(crate) fn thumbprint(public: &VerifyingKey) -> String {
    let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
    let digest = Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.2.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn x() -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(X).unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_8037_hold() {
        let public = VerifyingKey::from_bytes(&x().try_into().unwrap()).unwrap();
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        // Appendix A.5.
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let key = PublicKey::ed25519(&x()).unwrap();
        assert!(key.verify(message, signature).unwrap());
        assert!(!key.verify(&message.replace('X', "Y"), signature).unwrap());
    }

    #[test]
    fn weak_short_and_long_keys_are_refused() {
        let (short, long) = (&x()[..31], [x(), vec![0]].concat());
        assert_eq!(PublicKey::ed25519(short).unwrap_err(), Unusable::Malformed);
        assert_eq!(PublicKey::ed25519(&long).unwrap_err(), Unusable::Malformed);
        // The neutral element: every message has a signature that everybody can make.
        let mut weak = [0; 32];
        weak[0] = 1;
        assert_eq!(PublicKey::ed25519(&weak).unwrap_err(), Unusable::Strength);

        let e = [1, 0, 1];
        let n = |bits: usize| {
            let mut n = vec![0xff; bits.div_ceil(8)];
            n[0] = u8::try_from((1_u16 << ((bits - 1) % 8 + 1)) - 1).unwrap();
            n
        };
        for bits in [2048, 3072, 4096] {
            assert_eq!(PublicKey::rsa(&n(bits), &e).unwrap().algorithm(), "RS256", "{bits}");
            let padded = [vec![0], n(bits)].concat();
            assert!(PublicKey::rsa(&padded, &e).is_ok(), "{bits}");
        }
        for bits in [512, 1024, 2047, 4097, 8192] {
            assert_eq!(PublicKey::rsa(&n(bits), &e).unwrap_err(), Unusable::Strength, "{bits}");
        }
        let padded = [vec![0; 256], n(1024)].concat();
        assert_eq!(PublicKey::rsa(&padded, &e).unwrap_err(), Unusable::Strength);
        assert_eq!(PublicKey::rsa(&n(2048), &[3]).unwrap_err(), Unusable::Strength);
        assert_eq!(PublicKey::rsa(&n(2048), &[1, 0, 0, 0, 1]).unwrap_err(), Unusable::Strength);
        for e in [&[][..], &[0], &[1, 0, 0]] {
            assert_eq!(PublicKey::rsa(&n(2048), e).unwrap_err(), Unusable::Malformed);
        }
        assert_eq!(PublicKey::rsa(&[], &e).unwrap_err(), Unusable::Malformed);
        let mut even = n(2048);
        even[255] = 0xfe;
        assert_eq!(PublicKey::rsa(&even, &e).unwrap_err(), Unusable::Malformed);
    }
}
