//! DSSE v1 envelopes (secure-systems-lab/dsse, protocol and envelope 1.0.0), signed with the installation's key.
//!
//! Ours are written in canonical JSON and read in that one spelling, so that no byte of the file is without meaning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::tlog::{Keys, Term, Verifier};

/// The payload's type: an in-toto statement in JSON.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Longest envelope that is read, in bytes.
pub const MAX_ENVELOPE_BYTES: usize = 16 << 20;

/// Why an envelope is not believed.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// Longer than [`MAX_ENVELOPE_BYTES`].
    #[error("the envelope is too long")]
    TooLong,
    /// Not the shape of an envelope.
    #[error("the file is not a DSSE envelope")]
    Shape(#[source] serde_json::Error),
    /// Not in canonical form, so not as it was written.
    #[error("the envelope is not in the form in which it was written")]
    NotCanonical,
    /// No canonical form.
    #[error(transparent)]
    Encode(#[from] CanonicalError),
    /// Another payload.
    #[error("the envelope holds a {0}, not an in-toto statement")]
    PayloadType(String),
    /// Payload or signature is no base64.
    #[error("the envelope holds text that is not base64")]
    Base64(#[from] base64::DecodeError),
    /// No signature of that key.
    #[error("no signature of the key {0} is in the envelope")]
    UnknownKey(String),
    /// A signature that names the key, but is not its.
    #[error("the signature of the key {0} does not fit the payload")]
    BadSignature(String),
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DsseSignature {
    /// Name and hash of the key, as in signed notes.
    pub keyid: String,
    /// Ed25519 over the pre-authentication encoding, in base64.
    pub sig: String,
}

/// An envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Envelope {
    /// [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// The payload, in base64.
    pub payload: String,
    /// One of the installation, at least.
    pub signatures: Vec<DsseSignature>,
}

/// The pre-authentication encoding (PAE): what is signed.
#[must_use]
pub fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Envelope {
    /// Signs a payload.
    #[must_use]
    pub fn sign(payload: &[u8], keys: &Keys) -> Self {
        let sig = STANDARD.encode(keys.sign(&pre_authentication(PAYLOAD_TYPE, payload)));
        Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![DsseSignature { keyid: keys.verifier().id(), sig }],
        }
    }

    /// Reads an envelope. Nothing in it is believed before [`Envelope::verify`].
    ///
    /// # Errors
    /// [`DsseError::TooLong`], [`DsseError::Shape`], [`DsseError::NotCanonical`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DsseError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(DsseError::TooLong);
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(DsseError::Shape)?;
        if envelope.to_bytes()? == bytes { Ok(envelope) } else { Err(DsseError::NotCanonical) }
    }

    /// The canonical bytes, with a newline at the end.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut out = canonical::to_vec(self)?;
        out.push(b'\n');
        Ok(out)
    }

    /// The payload, whoever signed it: for showing.
    ///
    /// # Errors
    /// [`DsseError::PayloadType`], [`DsseError::Base64`].
    pub(crate) fn unverified(&self) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(DsseError::PayloadType(self.payload_type.clone()));
        }
        Ok(STANDARD.decode(&self.payload)?)
    }

    /// The payload, if the key, or one of the installation's earlier keys that it knows, signed it.
    ///
    /// # Errors
    /// [`DsseError`].
    pub fn verify(&self, verifier: &Verifier) -> Result<Vec<u8>, DsseError> {
        Ok(self.opened(verifier)?.0)
    }

    /// The same, with the key that did and its term.
    ///
    /// # Errors
    /// [`DsseError`].
    pub fn opened(&self, verifier: &Verifier) -> Result<(Vec<u8>, Verifier, Term), DsseError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(DsseError::PayloadType(self.payload_type.clone()));
        }
        let payload = STANDARD.decode(&self.payload)?;
        let message = pre_authentication(&self.payload_type, &payload);
        let mut named = None;
        for signature in &self.signatures {
            for (key, term) in verifier.keys().filter(|(key, _)| key.id() == signature.keyid) {
                if key.verify(&message, &STANDARD.decode(&signature.sig)?) {
                    return Ok((payload, key, term));
                }
                named = Some(key.id());
            }
        }
        Err(match named {
            Some(key) => DsseError::BadSignature(key),
            None => DsseError::UnknownKey(verifier.id()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            drop(Envelope::parse(&bytes));
        }

        #[test]
        fn one_changed_bit_is_never_accepted(at: proptest::sample::Index, bit in 0_u8..8) {
            let keys = Keys::from_seed("custody/test", [7; 32]);
            let mut bytes = Envelope::sign(b"{\"a\":1}", &keys).to_bytes().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let read = Envelope::parse(&bytes).and_then(|e| e.verify(&keys.verifier()));
            proptest::prop_assert!(read.is_err(), "byte {at}");
        }
    }
}
