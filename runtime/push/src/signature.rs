//! Signatures of webhooks: Standard Webhooks 1.0.0, symmetric (`v1`, HMAC-SHA256).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How secrets begin.
const PREFIX: &str = "whsec_";

/// Bytes that a secret may have, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The secret of one destination. It is never printed.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why a text is no secret. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no secret of Standard Webhooks: whsec_ and 24 to 64 bytes in base64 are wanted")]
pub struct SecretError;

/// The headers of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `webhook-id`: the same in every attempt.
    pub id: String,
    /// `webhook-timestamp`: seconds since 1970 of the attempt.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
}

impl Secret {
    /// From the text that is given out to receivers.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError)?;
        if BYTES.contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(SecretError) }
    }

    /// Signs a delivery.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> Signed {
        let timestamp = at.as_micros().div_euclid(1_000_000).to_string();
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        Signed { id: id.to_owned(), timestamp, signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_the_form_and_length_of_the_specification_and_are_not_printed() {
        let of = |n: usize| format!("whsec_{}", STANDARD.encode(vec![7; n]));
        for wrong in [of(23), of(65), STANDARD.encode([7; 32]), "whsec_*".to_owned()] {
            assert!(Secret::parse(&wrong).is_err(), "{wrong}");
        }
        let secret = Secret::parse(&of(24)).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        let at = Timestamp::from_micros(1_614_265_330_999_999);
        assert_eq!(secret.sign("msg", at, b"{}").timestamp, "1614265330");
    }
}
