//! The end of the control log that is durable and not in tiles yet: one file of frames, as a journal has.
//!
//! Its first frame says how many entries are in tiles before it and the hash of the last of them. It is replaced whole
//! when its entries got into tiles, and truncated where a writer died inside of a frame, or between a `redaction.applied` and
//! the event that it is about: nobody was told of either.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use custody_model::Digest;
use serde::{Deserialize, Serialize};

use super::placed::announced;
use crate::canonical;
use crate::disk::{Disk, write_all_at};
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

/// Reads the file; an absent one is empty. A torn end is left out, and so is an announcement without its event.
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
    let mut before = offset;
    loop {
        match frames.next() {
            Ok(Some(entry)) => pending.entries.push(entry.to_vec()),
            Ok(None) | Err(FrameError::Cut { .. }) => break,
            Err(error @ (FrameError::Damaged { .. } | FrameError::Io(_))) => return Err(error),
        }
        before = std::mem::replace(&mut pending.length, frames.offset());
    }
    if pending.entries.last().is_some_and(|entry| announced(entry).is_some()) {
        pending.entries.pop();
        pending.length = before;
    }
    Ok(pending)
}

/// Replaces the file with an empty one that begins at `base`, durably; its length.
pub(super) fn begin(disk: &dyn Disk, dir: &Path, base: &Base) -> io::Result<u64> {
    let mut bytes = frame::MAGIC.to_vec();
    let text = canonical::to_vec(base).map_err(io::Error::other)?;
    frame::append_frame(&mut bytes, |out| out.extend_from_slice(&text));
    durable::replace(disk, &path(dir), &bytes)?;
    Ok(bytes.len() as u64)
}

/// What a failed append left behind the end of the log, if it could not be cut off at once.
#[derive(Clone, Debug)]
pub(super) struct Leftover {
    inode: u64,
    /// The log's end.
    length: u64,
    /// The file's.
    found: u64,
}

/// Cuts a leftover off, unless another process has gone on with the file meanwhile.
pub(super) fn cut(disk: &dyn Disk, dir: &Path, leftover: &Leftover) -> io::Result<()> {
    let file = match disk.open(&path(dir)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    if found.ino() == leftover.inode && found.len() == leftover.found {
        disk.set_len(&file, leftover.length)?;
    }
    Ok(())
}

/// Appends entries after the first `length` bytes, durably, and cuts off what a dead writer left there; the new length.
///
/// `known`: this process made all that is there durable. Otherwise somebody may have died between its write and its
/// fsync, or after an fsync that failed; a later fsync says nothing of such bytes, so they are written again.
/// Nor need the file's name be durable.
///
/// # Errors
/// With what could not be cut off, if anything: nobody was told of these entries, so nobody may find them.
pub(super) fn append(
    disk: &dyn Disk,
    dir: &Path,
    length: u64,
    known: bool,
    entries: &[Vec<u8>],
) -> Result<u64, (io::Error, Option<Leftover>)> {
    let whole = |error| (error, None);
    let file = disk.open(&path(dir)).map_err(whole)?;
    if file.metadata().map_err(whole)?.len() != length {
        disk.set_len(&file, length).map_err(whole)?;
    }
    let mut bytes = Vec::new();
    let mut start = length;
    if !known {
        start = 0;
        (&file).take(length).read_to_end(&mut bytes).map_err(whole)?;
    }
    for entry in entries {
        frame::append_frame(&mut bytes, |out| out.extend_from_slice(entry));
    }
    if !known {
        disk.sync_dir(dir).map_err(whole)?;
    }
    let written = write_all_at(disk, &file, &bytes, start).and_then(|()| disk.sync_data(&file));
    match written {
        Ok(()) => Ok(start + bytes.len() as u64),
        Err(error) => {
            let leftover = match disk.set_len(&file, length) {
                Ok(()) => None,
                Err(_) => file.metadata().ok().map(|found| Leftover {
                    inode: found.ino(),
                    length,
                    found: found.len(),
                }),
            };
            Err((error, leftover))
        }
    }
}
