//! Names of content: SHA-256 digests, and git's object ids beside them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest (FIPS 180-4); its text form is `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Why a text is not a digest or an object id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidDigest {
    /// Not `sha256:` and 64 lower-case hex digits.
    #[error("{0:?} is not a digest: sha256: and 64 lower-case hex digits are wanted")]
    Digest(String),
    /// Not 40 or 64 lower-case hex digits.
    #[error("{0:?} is not a git object id: 40 or 64 lower-case hex digits are wanted")]
    GitOid(String),
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a byte is worth as a lower-case hex digit; 16 if it is none.
pub(crate) const HEX_VALUE: [u8; 256] = {
    let mut table = [16; 256];
    let mut value = 0;
    while value < 16 {
        table[HEX[value as usize] as usize] = value;
        value += 1;
    }
    table
};

const PREFIX: &[u8; 7] = b"sha256:";

impl Digest {
    /// Bytes of the text form.
    pub const TEXT_BYTES: usize = PREFIX.len() + 64;

    /// The text form, as ASCII (the fast way: nothing is allocated).
    #[must_use]
    pub fn text(&self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [0; Self::TEXT_BYTES];
        let (prefix, hex) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX);
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        text
    }

    /// The digest that has this text.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let hex = text.strip_prefix(PREFIX).filter(|hex| hex.len() == 64)?;
        let mut bytes = [0; 32];
        let mut seen = 0;
        for (byte, [high, low]) in bytes.iter_mut().zip(hex.as_chunks::<2>().0) {
            let (high, low) = (HEX_VALUE[usize::from(*high)], HEX_VALUE[usize::from(*low)]);
            seen |= high | low;
            *byte = high << 4 | low & 15;
        }
        (seen < 16).then_some(Self(bytes))
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From the 32 bytes of a finished SHA-256.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits without the prefix.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| HEX_VALUE[usize::from(b)] < 16)
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        Self::from_text(text.as_bytes()).ok_or_else(|| InvalidDigest::Digest(text.to_owned()))
    }
}

/// A git object id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits. An identifier, not a proof of integrity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitOid(String);

impl GitOid {
    /// The hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for GitOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GitOid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GitOid {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        if matches!(text.len(), 40 | 64) && is_lower_hex(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDigest::GitOid(text.to_owned()))
        }
    }
}

macro_rules! text_form {
    ($name:ident, $pattern:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

text_form!(Digest, "^sha256:[0-9a-f]{64}$");
text_form!(GitOid, "^([0-9a-f]{40}|[0-9a-f]{64})$");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_digest_has_the_hex_of_another_implementation(bytes: [u8; 32], at in 0..71_usize, byte: u8) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string(), format!("sha256:{}", hex::encode(bytes)));
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            let mut text = digest.text();
            text[at] = byte;
            if let Some(read) = Digest::from_text(&text) {
                prop_assert_eq!(read.text(), text);
            }
        }
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[..70].parse::<Digest>().is_err());
    }

    #[test]
    fn an_object_id_is_sha1_or_sha256() {
        assert!("a".repeat(40).parse::<GitOid>().is_ok());
        assert!("a".repeat(64).parse::<GitOid>().is_ok());
        assert!("a".repeat(41).parse::<GitOid>().is_err());
        assert!("A".repeat(40).parse::<GitOid>().is_err());
    }
}
