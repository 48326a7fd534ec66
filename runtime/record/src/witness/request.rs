//! The body of `add-checkpoint`: `old <size>`, a consistency proof, an empty line, and the checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use custody_model::Digest;

use crate::tlog::{MAX_NOTE_BYTES, hash_line};

/// Most lines of a proof that the protocol allows.
const MAX_LINES: usize = 63;

/// Longest body that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + 64 * (MAX_LINES + 1);

/// Why bytes are no such body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`MAX_REQUEST_BYTES`], or more than 63 lines of proof.
    #[error("the request is too long")]
    TooLong,
    /// Its lines.
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
}

/// A head that a witness is asked to cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the head that the witness cosigned last; 0 before the first.
    pub old: u64,
    /// RFC 6962 consistency proof from that head to this one.
    pub proof: Vec<Digest>,
    /// The signed note.
    pub checkpoint: Vec<u8>,
}

impl AddCheckpoint {
    /// The body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("old {}\n", self.old);
        for hash in &self.proof {
            text.push_str(&format!("{}\n", STANDARD.encode(hash.as_bytes())));
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.checkpoint);
        bytes
    }

    /// Parses a body. The checkpoint is not looked at.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        use RequestError::Malformed;
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| Malformed("not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Malformed("no empty line"))?;
        let mut lines = head.split('\n');
        let digits = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = digits.and_then(|d| d.parse::<u64>().ok().filter(|old| old.to_string() == d));
        let old = old.ok_or(Malformed("the old size"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_LINES {
                return Err(RequestError::TooLong);
            }
            proof.push(hash_line(line).ok_or(Malformed("a hash"))?);
        }
        Ok(Self { old, proof, checkpoint: checkpoint.as_bytes().to_vec() })
    }
}
