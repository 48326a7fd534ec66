//! What is in an evidence pack, and what is not.

use std::fmt;
use std::str::FromStr;

use custody_model::{Digest, SessionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};

/// Version of the format.
pub const EVIDENCE_VERSION: u32 = 1;

/// Longest manifest that is read, in bytes: it has a line for each file.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 20;

/// Name of the manifest's own file: the first one.
pub(super) const MANIFEST: &str = "manifest.json";

/// A file of a pack. Nothing else has a name: there is no way to say `..` or an absolute path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackFile {
    /// The signed head of the session's log.
    Checkpoint,
    /// The attestation.
    Seal,
    /// The installation's keys.
    Keys,
    /// The head's place in the installation log.
    Installation,
    /// The policy document.
    Policy,
    /// The events.
    Events,
    /// The proof of one event.
    Proof(u64),
    /// A content.
    Blob(Digest),
}

impl fmt::Display for PackFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Seal => f.write_str("seal.dsse.json"),
            Self::Keys => f.write_str("keys/history.json"),
            Self::Installation => f.write_str("installation/leaf.tlog-proof"),
            Self::Policy => f.write_str("policy.json"),
            Self::Events => f.write_str("events.jsonl"),
            Self::Proof(seq) => write!(f, "proofs/{seq}.tlog-proof"),
            Self::Blob(digest) => write!(f, "blobs/sha256/{}", digest.hex()),
        }
    }
}

/// A text that names no file of a pack.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no file of an evidence pack")]
pub struct NoPackFile(String);

impl FromStr for PackFile {
    type Err = NoPackFile;

    fn from_str(text: &str) -> Result<Self, NoPackFile> {
        let file = match text {
            "checkpoint" => Some(Self::Checkpoint),
            "seal.dsse.json" => Some(Self::Seal),
            "keys/history.json" => Some(Self::Keys),
            "installation/leaf.tlog-proof" => Some(Self::Installation),
            "policy.json" => Some(Self::Policy),
            "events.jsonl" => Some(Self::Events),
            other => {
                let proof =
                    other.strip_prefix("proofs/").and_then(|n| n.strip_suffix(".tlog-proof"));
                let blob = other.strip_prefix("blobs/sha256/");
                proof
                    .and_then(|number| number.parse().ok().map(Self::Proof))
                    .or_else(|| Some(Self::Blob(format!("sha256:{}", blob?).parse().ok()?)))
            }
        };
        file.filter(|file| file.to_string() == text)
            .ok_or_else(|| NoPackFile(text.chars().take(120).collect()))
    }
}

impl Serialize for PackFile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PackFile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for PackFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PackFile".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-z0-9./-]+$" })
    }
}

/// A file of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Which.
    pub path: PackFile,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: Digest,
}

/// Why a content is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithheldReason {
    /// Whoever exported chose so.
    Chosen,
    /// The installation has it no more, or can't read it.
    Unavailable,
}

/// A content that disclosed events name and that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WithheldBlob {
    /// SHA-256 of it.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Why.
    pub reason: WithheldReason,
}

/// `manifest.json`: canonical JSON (RFC 8785) and a newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`EVIDENCE_VERSION`].
    pub version: u32,
    /// Whose record.
    pub session: SessionId,
    /// Number of its events.
    pub events: u64,
    /// How many of them are withheld.
    pub withheld_events: u64,
    /// Contents that are withheld, by digest.
    pub withheld_blobs: Vec<WithheldBlob>,
    /// The other files, in the order in which they come.
    pub files: Vec<FileEntry>,
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum ManifestError {
    #[error("it is no manifest of version {EVIDENCE_VERSION}")]
    Json(#[from] serde_json::Error),
    #[error("it is not in the form in which it was written")]
    Form,
    #[error("it names files twice, in another order, or not all that have to be there")]
    Files,
    #[error(transparent)]
    Encode(#[from] CanonicalError),
}

impl Manifest {
    /// The bytes of its file.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut bytes = canonical::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.version != EVIDENCE_VERSION || manifest.to_bytes()? != bytes {
            return Err(ManifestError::Form);
        }
        let in_order = manifest.files.windows(2).all(|pair| pair[0].path < pair[1].path);
        let blobs = manifest.withheld_blobs.windows(2).all(|pair| pair[0].digest < pair[1].digest);
        let needed = [
            PackFile::Checkpoint,
            PackFile::Seal,
            PackFile::Keys,
            PackFile::Installation,
            PackFile::Events,
        ];
        let all = needed.iter().all(|file| manifest.files.iter().any(|entry| entry.path == *file));
        if in_order && blobs && all { Ok(manifest) } else { Err(ManifestError::Files) }
    }
}
