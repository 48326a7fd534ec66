//! The end of the control log that is durable and not in tiles yet: one file of frames, as a journal has.
//!
//! Its first frame says how many entries are in tiles before it and the hash of the last of them. It is replaced whole
//! when its entries got into tiles, and truncated where a writer died inside of a frame.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};

use custody_model::Digest;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::durable;
use crate::journal::FrameError;
use crate::journal::frame::{self, FrameReader};
use crate::tlog::leaf_hash;

/// The file's name in the log's directory.
const FILE: &str = "pending";

/// What came before the file's first entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Base {
    /// Number of entries before.
    pub(super) size: u64,
    /// Leaf hash of the last of them.
    pub(super) prev: Option<Digest>,
}

/// What the file holds.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) base: Base,
    /// The canonical bytes of each entry.
    pub(super) entries: Vec<Vec<u8>>,
    /// Bytes of the file up to the end of the last whole frame.
    pub(super) length: u64,
}

impl Pending {
    /// Number of entries with those of the file.
    pub(super) fn size(&self) -> u64 {
        self.base.size + self.entries.len() as u64
    }

    /// Leaf hash of the last entry.
    pub(super) fn prev(&self) -> Option<Digest> {
        self.entries.last().map(|entry| leaf_hash(entry)).or(self.base.prev)
    }
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Reads the file; an absent one is empty. A torn end is left out.
pub(super) fn read(dir: &Path) -> Result<Pending, FrameError> {
    let file = match File::open(path(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pending::default()),
        Err(error) => return Err(error.into()),
    };
    let mut frames = FrameReader::new(BufReader::new(file))?;
    let header = frames.next()?.and_then(|bytes| serde_json::from_slice::<Base>(bytes).ok());
    let offset = frames.offset();
    let base =
        header.ok_or(FrameError::Damaged { offset, reason: "it does not say where it begins" })?;
    let mut pending = Pending { base, entries: Vec::new(), length: offset };
    loop {
        match frames.next() {
            Ok(Some(entry)) => pending.entries.push(entry.to_vec()),
            Ok(None) | Err(FrameError::Cut { .. }) => break,
            Err(error @ (FrameError::Damaged { .. } | FrameError::Io(_))) => return Err(error),
        }
        pending.length = frames.offset();
    }
    Ok(pending)
}

/// Replaces the file with an empty one that begins at `base`, durably; its length.
pub(super) fn begin(dir: &Path, base: &Base) -> io::Result<u64> {
    let mut bytes = frame::MAGIC.to_vec();
    let text = canonical::to_vec(base).map_err(io::Error::other)?;
    frame::append_frame(&mut bytes, |out| out.extend_from_slice(&text));
    durable::replace(&path(dir), &bytes)?;
    Ok(bytes.len() as u64)
}

/// Appends entries after the first `length` bytes, durably, and cuts off what a dead writer left there; the new length.
pub(super) fn append(dir: &Path, length: u64, entries: &[Vec<u8>]) -> io::Result<u64> {
    let mut file = OpenOptions::new().append(true).open(path(dir))?;
    if file.metadata()?.len() != length {
        file.set_len(length)?;
    }
    let mut bytes = Vec::new();
    for entry in entries {
        frame::append_frame(&mut bytes, |out| out.extend_from_slice(entry));
    }
    let written = file.write_all(&bytes).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // Nobody was told of these entries: the next writer must not find them.
        file.set_len(length)?;
        return Err(error);
    }
    Ok(length + bytes.len() as u64)
}
