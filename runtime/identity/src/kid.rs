//! Key ids: names of keys, and never anything that could be followed.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Longest key id, in bytes.
pub const MAX_KEY_ID_BYTES: usize = 128;

/// A key's `kid` (RFC 7517, section 4.5): 1 to [`MAX_KEY_ID_BYTES`] bytes without `/`, `\`, `:`, `..`, white space and
/// control characters, so that it is neither a path nor a URL, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// Why a text is not a key's id. It does not quote the text: that is part of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyId {
    /// There is none.
    #[error("there is no key id")]
    Missing,
    /// No bytes.
    #[error("the key id is empty")]
    Empty,
    /// Longer than [`MAX_KEY_ID_BYTES`].
    #[error("the key id is longer than {MAX_KEY_ID_BYTES} bytes")]
    TooLong,
    /// It could be read as a path or a URL.
    #[error("the key id looks like a path or a URL")]
    Path,
    /// White space or control characters.
    #[error("the key id has white space or control characters")]
    Blank,
}

impl KeyId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        if text.is_empty() {
            Err(InvalidKeyId::Empty)
        } else if text.len() > MAX_KEY_ID_BYTES {
            Err(InvalidKeyId::TooLong)
        } else if text.contains(['/', '\\', ':']) || text.contains("..") {
            Err(InvalidKeyId::Path)
        } else if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Err(InvalidKeyId::Blank)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_urls_and_blanks_are_no_key_ids() {
        for text in ["a", "2026-11", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "k.1=", "-"] {
            assert_eq!(text.parse::<KeyId>().unwrap().as_str(), text);
        }
        assert!("x".repeat(MAX_KEY_ID_BYTES).parse::<KeyId>().is_ok());
        let long = "x".repeat(MAX_KEY_ID_BYTES + 1);
        let cases = [
            ("", InvalidKeyId::Empty),
            (long.as_str(), InvalidKeyId::TooLong),
            ("/dev/null", InvalidKeyId::Path),
            ("a/b", InvalidKeyId::Path),
            ("..", InvalidKeyId::Path),
            ("a..b", InvalidKeyId::Path),
            (r"c\keys", InvalidKeyId::Path),
            ("https://issuer/keys", InvalidKeyId::Path),
            ("file:key", InvalidKeyId::Path),
            ("a b", InvalidKeyId::Blank),
            ("a\n", InvalidKeyId::Blank),
            ("a\0", InvalidKeyId::Blank),
            ("a\u{a0}b", InvalidKeyId::Blank),
            ("a\u{85}", InvalidKeyId::Blank),
        ];
        for (text, reason) in cases {
            assert_eq!(text.parse::<KeyId>(), Err(reason), "{text:?}");
        }
    }
}
