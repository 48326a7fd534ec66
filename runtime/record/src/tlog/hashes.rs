//! The hashes of a log's tree, read from its tiles on disk as proofs need them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use custody_model::Digest;

use super::proof::TreeHashes;
use super::published::{TileKind, TilePath};
use super::tiles::ENTRIES_PER_BUNDLE;
use super::tree::root_of;

/// Levels of the tree in one tile: it spans 2⁸ hashes.
const LEVELS_PER_TILE: u32 = 8;

/// Why a hash can't be read.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// The file. `NotFound`: the log never had it, or grew meanwhile and dropped a partial tile.
    #[error("the tile {path} can't be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its length is not that of its width.
    #[error("the tile {0} has the wrong length")]
    Length(PathBuf),
    /// Beyond the log's end.
    #[error("the tree has no complete subtree {index} at level {level}")]
    Beyond {
        /// Level in the tree; 0 are the leaves.
        level: u32,
        /// Index at the level.
        index: u64,
    },
}

impl TileError {
    /// A file that should be there is not: who follows a living log reads its head again then.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// How a tile is read.
type ReadTile<'a> = Box<dyn Fn(&TilePath) -> io::Result<Vec<u8>> + 'a>;

/// The tree of a log's first `size` entries, by its tiles. Nothing read is believed before a proof made of it leads to a
/// signed root. Each tile is read once.
pub struct TileHashes<'a> {
    read: ReadTile<'a>,
    size: u64,
    tiles: RefCell<BTreeMap<(u32, u64), Vec<Digest>>>,
}

impl<'a> TileHashes<'a> {
    /// The log in `dir` when it had `size` entries; its head must have had that size, or be of it still.
    #[must_use]
    pub fn new(dir: &'a Path, size: u64) -> Self {
        Self::by(size, |tile| fs::read(dir.join(tile.path())))
    }

    /// The same for a log that is somewhere else. What is not there is `NotFound`.
    #[must_use]
    pub fn by(size: u64, read: impl Fn(&TilePath) -> io::Result<Vec<u8>> + 'a) -> Self {
        Self { read: Box::new(read), size, tiles: RefCell::default() }
    }

    fn read(&self, level: u32, index: u64) -> Result<Vec<Digest>, TileError> {
        let nodes = self.size.checked_shr(LEVELS_PER_TILE * level).unwrap_or(0);
        let width = nodes.saturating_sub(index.saturating_mul(ENTRIES_PER_BUNDLE));
        let width = width.min(ENTRIES_PER_BUNDLE);
        match self.read_width(level, index, width) {
            // A log that went on keeps the full tile instead.
            Err(error) if error.is_absent() && width < ENTRIES_PER_BUNDLE => {
                self.read_width(level, index, ENTRIES_PER_BUNDLE).map_err(|_| error)
            }
            other => other,
        }
    }

    fn read_width(&self, level: u32, index: u64, width: u64) -> Result<Vec<Digest>, TileError> {
        let tile = TilePath::new(TileKind::Hashes(level), index, width);
        let bytes = (self.read)(&tile)
            .map_err(|source| TileError::Io { path: tile.path().into(), source })?;
        let (chunks, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || chunks.len() as u64 != width {
            return Err(TileError::Length(tile.path().into()));
        }
        Ok(chunks.iter().copied().map(Digest::from_bytes).collect())
    }
}

impl TreeHashes for TileHashes<'_> {
    type Error = TileError;

    fn hash(&self, level: u32, index: u64) -> Result<Digest, TileError> {
        let beyond = TileError::Beyond { level, index };
        let end = index.checked_add(1).and_then(|next| next.checked_mul(1_u64.checked_shl(level)?));
        if end.is_none_or(|end| end > self.size) {
            return Err(beyond);
        }
        let (tile_level, inside) = (level / LEVELS_PER_TILE, level % LEVELS_PER_TILE);
        let first = index << inside;
        let tile = first / ENTRIES_PER_BUNDLE;
        let mut tiles = self.tiles.borrow_mut();
        let hashes = match tiles.entry((tile_level, tile)) {
            std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(self.read(tile_level, tile)?)
            }
        };
        let from = usize::try_from(first % ENTRIES_PER_BUNDLE).unwrap_or(usize::MAX);
        let part = hashes.get(from..from.saturating_add(1 << inside)).ok_or(beyond)?;
        Ok(root_of(part))
    }
}
