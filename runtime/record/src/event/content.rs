//! Content outside of an event, as the event names it: what it is, and in which form it was stored.

use std::fmt;
use std::str::FromStr;

use custody_model::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Content outside the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlobRef {
    /// Its role in this event: `terminal`, `diff`, `argv`, `policy`, …
    pub role: String,
    /// SHA-256 of the content (not of its stored form).
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// RFC 6838 media type.
    pub media_type: String,
    /// The sealed file that holds it. Absent if it was stored unencrypted, and in the first records: there a sealed file can't be
    /// checked without the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredBlob>,
}

/// The file below `blobs/sealed` that holds a content: it can be checked without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredBlob {
    /// SHA-256 of the file's bytes.
    pub digest: Digest,
    /// The file's name; it lies in the directory of the name's first two digits.
    pub name: SealedName,
}

/// Name of a sealed file: 64 lower-case hex digits, a keyed digest of the content's digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedName(String);

/// Why a text names no sealed file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no name of a sealed file: 64 lower-case hex digits are wanted")]
pub struct InvalidSealedName(String);

/// Digits of a name.
const NAME_DIGITS: usize = 64;

impl SealedName {
    /// The name of these bytes.
    pub(crate) fn from_bytes(bytes: &[u8; NAME_DIGITS / 2]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SealedName {
    type Err = InvalidSealedName;

    fn from_str(text: &str) -> Result<Self, InvalidSealedName> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == NAME_DIGITS && digits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSealedName(text.to_owned()))
        }
    }
}

impl fmt::Display for SealedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SealedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SealedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SealedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for SealedName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SealedName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}
