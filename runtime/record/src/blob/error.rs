//! Why a blob can't be stored or read.

use std::io;
use std::path::PathBuf;

use custody_model::{Digest, Timestamp, UserName};

/// Why a blob can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No such content.
    #[error("the blob {0} is missing")]
    Missing(Digest),
    /// It is sealed, or was, and the key is not there.
    #[error("the blob {0} is sealed, and its key is not here")]
    Locked(Digest),
    /// Its key was destroyed.
    #[error("the content of the blob {digest} was erased by {by} at {at}: {reason}")]
    Erased {
        /// Which.
        digest: Digest,
        /// By whom.
        by: UserName,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// The stored bytes are not the content that their name says.
    #[error("the blob {0} holds other content: {1}")]
    Swapped(Digest, Digest),
    /// The stored bytes can't be decompressed.
    #[error("the blob {digest} can't be decompressed")]
    Damaged {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More content than the limit.
    #[error("the blob {digest} has more than {limit} bytes")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Bytes.
        limit: u64,
    },
    /// What a content was to be written to.
    #[error("the content can't be written where it is wanted")]
    Write(#[source] io::Error),
    /// Reading or writing a file.
    #[error("the blob store at {path} can't be used")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
