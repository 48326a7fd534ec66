//! Tiles of a session that lives, made from its journal.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use custody_model::Digest;

use super::LIVING_CHECKPOINT;
use crate::journal::frame::FrameReader;
use crate::journal::{FrameError, JOURNAL_FILE};
use crate::reader::ReadError;
use crate::standing::{CHECKPOINT_FILE, Standing, standing};
use crate::tlog::{ENTRIES_PER_BUNDLE, Frontier, TileKind, TilePath, leaf_hash, root_of};

/// A full bundle.
#[derive(Clone, Copy, Debug)]
struct Bundle {
    /// Where its first frame begins in the journal.
    offset: u64,
    /// RFC 6962 root over its entries.
    root: Digest,
}

/// The log of a session that lives, as tiles. It keeps 40 bytes of every 256 entries, and the journal open, so that the
/// seal, which removes the file, takes nothing away from it.
#[derive(Debug)]
pub struct LivingLog {
    path: PathBuf,
    journal: File,
    bundles: Vec<Bundle>,
    /// Where the entries after the full bundles begin.
    offset: u64,
}

impl LivingLog {
    /// The log of the record in `dir`; `None` if no journal counts: it is sealed, or nothing was recorded.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(dir: &Path) -> Result<Option<Self>, ReadError> {
        if standing(dir)? != Standing::Journal {
            return Ok(None);
        }
        let path = dir.join(JOURNAL_FILE);
        let journal = match File::open(&path) {
            Ok(journal) => journal,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadError::Io { path, source }),
        };
        let mut frames = FrameReader::new(BufReader::new(&journal))?;
        let header = frames.next()?.is_some();
        let offset = frames.offset();
        if !header {
            return Err(ReadError::Header(path));
        }
        Ok(Some(Self { path, journal, bundles: Vec::new(), offset }))
    }

    /// Whether the journal is still the one that is open here: it was neither sealed nor replaced.
    #[must_use]
    pub fn is_current(&self) -> bool {
        match (self.journal.metadata(), std::fs::metadata(&self.path)) {
            (Ok(open), Ok(found)) => (open.dev(), open.ino()) == (found.dev(), found.ino()),
            (Err(_), _) | (_, Err(_)) => false,
        }
    }

    /// The signed head that is shown of the record in `dir` while it lives; once it is being sealed, the sealed one. `None` if
    /// there is none yet.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn head(dir: &Path) -> Result<Option<Vec<u8>>, ReadError> {
        let names: &[&str] = match standing(dir)? {
            Standing::Sealed(_) => &[CHECKPOINT_FILE],
            Standing::Journal | Standing::Absent => &[LIVING_CHECKPOINT, CHECKPOINT_FILE],
        };
        for name in names {
            let path = dir.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(ReadError::Io { path, source }),
            }
        }
        Ok(None)
    }

    /// A tile of the log when it had `size` entries, which a signed head says; `None` if it had no such tile.
    ///
    /// # Errors
    /// [`ReadError`]; a journal that ends before `size` is [`FrameError::Cut`].
    pub fn read(&mut self, tile: &TilePath, size: u64) -> Result<Option<Vec<u8>>, ReadError> {
        if !tile.is_within(size) {
            return Ok(None);
        }
        self.advance(size)?;
        let mut bytes = Vec::new();
        match tile.kind() {
            TileKind::Entries => self.each(tile, |entry| {
                // No frame is longer than 65,535 bytes.
                let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(entry);
            })?,
            TileKind::Hashes(0) => {
                self.each(tile, |entry| bytes.extend_from_slice(leaf_hash(entry).as_bytes()))?;
            }
            TileKind::Hashes(level) => {
                let span = 1_u64 << (8 * (level - 1));
                let first = tile.index() * ENTRIES_PER_BUNDLE;
                for node in first..first + tile.width() {
                    let below = place(node * span)..place((node + 1) * span);
                    let below = self.bundles.get(below).unwrap_or_default();
                    let root = root_of(below.iter().map(|bundle| &bundle.root));
                    bytes.extend_from_slice(root.as_bytes());
                }
            }
        }
        Ok(Some(bytes))
    }

    /// Gets to know the full bundles of a log of `size` entries.
    fn advance(&mut self, size: u64) -> Result<(), ReadError> {
        let full = place(size / ENTRIES_PER_BUNDLE);
        if self.bundles.len() >= full {
            return Ok(());
        }
        let mut frames = self.frames(self.offset, 1 << 20)?;
        let mut found = Vec::new();
        while self.bundles.len() + found.len() < full {
            let offset = frames.offset();
            let mut frontier = Frontier::default();
            for _ in 0..ENTRIES_PER_BUNDLE {
                frontier.push(leaf_hash(next(&mut frames)?));
            }
            found.push(Bundle { offset, root: frontier.root() });
        }
        let offset = frames.offset();
        self.bundles.append(&mut found);
        self.offset = offset;
        Ok(())
    }

    /// The entries of a tile at the lowest level.
    fn each(&self, tile: &TilePath, mut take: impl FnMut(&[u8])) -> Result<(), ReadError> {
        let bundle = self.bundles.get(place(tile.index()));
        let offset = bundle.map_or(self.offset, |bundle| bundle.offset);
        let mut frames = self.frames(offset, 64 << 10)?;
        for _ in 0..tile.width() {
            take(next(&mut frames)?);
        }
        Ok(())
    }

    fn frames(
        &self,
        offset: u64,
        buffer: usize,
    ) -> Result<FrameReader<BufReader<&File>>, ReadError> {
        let mut input = BufReader::with_capacity(buffer, &self.journal);
        input
            .seek(SeekFrom::Start(offset))
            .map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        Ok(FrameReader::at(input, offset))
    }
}

fn next<'a>(frames: &'a mut FrameReader<BufReader<&File>>) -> Result<&'a [u8], ReadError> {
    let offset = frames.offset();
    frames.next()?.ok_or_else(|| FrameError::Cut { offset }.into())
}

/// No log here has more entries than a vector.
fn place(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
