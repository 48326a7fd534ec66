//! A log's anchor: its newest head, signed, in a file beside the log's directory, so that a log that was cut, emptied or put
//! back as an older copy shows.
//!
//! It is a note as the log's own checkpoint is (C2SP tlog-checkpoint v1.0.0), filled up with zero bytes to a whole disk
//! sector. Of the control log it covers what is durable and not in tiles yet, too. It is written after what it tells of is
//! durable and without an fsync of its own: after a loss of power it may be older than the log, and is never newer. Whoever
//! replaces log and anchor by copies of one moment is seen by witnesses alone.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::Verifier;
use super::note::MAX_NOTE_BYTES;
use crate::disk::{Disk, write_all_at};
use crate::durable;

/// A disk writes so many bytes at once or not at all; most anchors are shorter.
const SECTOR_BYTES: usize = 512;

/// How often an anchor is read at most while its bytes change and are no signed head.
const READS: u32 = 64;

/// End of the anchor's name; what comes before is the name of the log's directory.
pub const ANCHOR_ENDING: &str = ".anchor";

/// The state of a log's anchor.
#[derive(Debug)]
pub enum Anchor {
    /// There is none: nothing was appended to the log, or only by a version that wrote no anchors.
    Absent,
    /// It is no head of this log with a valid signature.
    Damaged(CheckpointError),
    /// The newest head that was written to it.
    Head(Checkpoint),
}

impl Anchor {
    /// The path of the anchor of the log in `dir`.
    #[must_use]
    pub fn path(dir: &Path) -> PathBuf {
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(ANCHOR_ENDING);
        dir.with_file_name(name)
    }

    /// The anchor of the log `origin` in `dir`. If the log may be appended to meanwhile, read the anchor before the log. An anchor
    /// that is overwritten meanwhile may be read half old and half new, so it is damaged only if it reads the same twice.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(dir: &Path, origin: &str, verifier: &Verifier) -> io::Result<Self> {
        let mut before = None;
        for _ in 1..READS {
            let Some(bytes) = Self::bytes(dir)? else { return Ok(Self::Absent) };
            match Checkpoint::open(&bytes, origin, verifier) {
                Ok(head) => return Ok(Self::Head(head)),
                Err(error) if before.as_ref() == Some(&bytes) => return Ok(Self::Damaged(error)),
                Err(_) => before = Some(bytes),
            }
        }
        let Some(bytes) = Self::bytes(dir)? else { return Ok(Self::Absent) };
        Ok(Checkpoint::open(&bytes, origin, verifier).map_or_else(Self::Damaged, Self::Head))
    }

    /// What is written there, without what fills the sector up.
    fn bytes(dir: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        match File::open(Self::path(dir)) {
            Ok(file) => file.take(MAX_NOTE_BYTES as u64).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Writes a signed head in the place of the one before.
    pub(crate) fn write(disk: &dyn Disk, dir: &Path, note: &[u8]) -> io::Result<()> {
        let mut bytes = note.to_vec();
        bytes.resize(note.len().next_multiple_of(SECTOR_BYTES), 0);
        let path = Self::path(dir);
        if !fs::exists(&path)? {
            return durable::replace(disk, &path, &bytes);
        }
        let file = disk.open(&path)?;
        if file.metadata()?.len() > bytes.len() as u64 {
            disk.set_len(&file, bytes.len() as u64)?;
        }
        write_all_at(disk, &file, &bytes, 0)
    }
}
