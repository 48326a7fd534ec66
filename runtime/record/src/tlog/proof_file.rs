//! Proof files, by custom `NAME.tlog-proof`: C2SP tlog-proof v1 (`c2sp.org/tlog-proof@v1`).
//!
//! Lines: the version, `extra <base64>` if there is something, `index <decimal>`, the inclusion proof's hashes in base64,
//! an empty line, and the log's checkpoint as it is, with whatever cosignatures it bears.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::Digest;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::Verifier;
use super::note::MAX_NOTE_BYTES;
use super::proof::{MAX_PROOF_HASHES, ProofError, verify_inclusion};

/// First line.
const VERSION: &str = "c2sp.org/tlog-proof@v1";

/// Longest `extra` data that is read, in bytes.
pub const MAX_EXTRA_BYTES: usize = 64 * 1024;

/// Longest file that is read: extra data in base64, hashes, checkpoint.
pub const MAX_PROOF_BYTES: usize = 2 * MAX_EXTRA_BYTES + 64 * MAX_PROOF_HASHES + MAX_NOTE_BYTES;

/// Why bytes are no proof file, or one that proves nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// Longer than [`MAX_PROOF_BYTES`].
    #[error("the proof is too long")]
    TooLong,
    /// Its lines.
    #[error("the proof is malformed: {0}")]
    Malformed(&'static str),
    /// The checkpoint in it.
    #[error("the checkpoint in the proof is not believed")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes.
    #[error("the entry is not shown to be in the log")]
    Proof(#[from] ProofError),
}

/// A proof that an entry is in a log, for checking offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Whatever the application adds. Nothing vouches for it.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry.
    pub index: u64,
    /// The inclusion proof, the leaf's sibling first.
    pub hashes: Vec<Digest>,
    /// The signed note, byte for byte.
    pub checkpoint: Vec<u8>,
}

fn number(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|n| n.to_string() == text)
}

/// A hash as these formats write it: 32 bytes in base64.
pub(crate) fn hash_line(line: &str) -> Option<Digest> {
    let bytes = STANDARD.decode(line).ok()?;
    Some(Digest::from_bytes(bytes.try_into().ok()?))
}

impl TlogProof {
    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{VERSION}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&format!("{}\n", STANDARD.encode(hash.as_bytes())));
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.checkpoint);
        bytes
    }

    /// Parses a file. The checkpoint must look like one; nothing is believed before [`TlogProof::verify`].
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        use ProofFileError::Malformed;
        if bytes.len() > MAX_PROOF_BYTES {
            return Err(ProofFileError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| Malformed("not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Malformed("no empty line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(VERSION) {
            return Err(Malformed("the first line"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                let extra = STANDARD.decode(extra).map_err(|_| Malformed("the extra data"))?;
                if extra.len() > MAX_EXTRA_BYTES {
                    return Err(ProofFileError::TooLong);
                }
                lines.next();
                Some(extra)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(number).ok_or(Malformed("the index"))?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_HASHES {
                return Err(ProofFileError::TooLong);
            }
            hashes.push(hash_line(line).ok_or(Malformed("a hash"))?);
        }
        let checkpoint = checkpoint.as_bytes().to_vec();
        Checkpoint::peek(&checkpoint)?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// The log's head that it proves against. Not believed yet.
    ///
    /// # Errors
    /// [`ProofFileError::Checkpoint`].
    pub fn claimed(&self) -> Result<Checkpoint, ProofFileError> {
        Ok(Checkpoint::peek(&self.checkpoint)?)
    }

    /// Checks that the log `origin`, whose key `verifier` is, has the entry with this leaf hash at [`TlogProof::index`],
    /// and returns its head. What witnesses say about the head is for their policy to check.
    ///
    /// # Errors
    /// [`ProofFileError`].
    pub fn verify(
        &self,
        leaf: Digest,
        origin: &str,
        verifier: &Verifier,
    ) -> Result<Checkpoint, ProofFileError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, origin, verifier)?;
        verify_inclusion(leaf, self.index, checkpoint.size, checkpoint.root, &self.hashes)?;
        Ok(checkpoint)
    }
}
