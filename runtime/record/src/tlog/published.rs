//! What a log shows to whoever follows it: C2SP tlog-tiles v0.1.0, `<prefix>/checkpoint` and `<prefix>/tile/…`.

use std::fs;
use std::io;
use std::path::Path;
use std::str::FromStr;

use super::checkpoint::Checkpoint;
use super::tiles::{ENTRIES_PER_BUNDLE, entries_of, entry_path, hash_path};

/// Highest level of a tile in a tree of less than 2⁶⁴ entries.
const MAX_LEVEL: u32 = 7;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileKind {
    /// Hashes of this level of tiles.
    Hashes(u32),
    /// Entries, each with its length before it.
    Entries,
}

/// Name of a tile, as what comes after `tile/` in its path: `0/x001/234`, `entries/000.p/17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    kind: TileKind,
    index: u64,
    width: u64,
}

/// A text that names no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no such tile: <level>/<number>[.p/<width>] or entries/<number>[.p/<width>] is wanted"
)]
pub struct NoTile;

impl FromStr for TilePath {
    type Err = NoTile;

    fn from_str(text: &str) -> Result<Self, NoTile> {
        let (kind, rest) = text.split_once('/').ok_or(NoTile)?;
        let kind = match kind {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes(level.parse().map_err(|_| NoTile)?),
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().map_err(|_| NoTile)?),
            None => (rest, ENTRIES_PER_BUNDLE),
        };
        let mut index = 0_u64;
        for part in number.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            let part: u64 = digits.parse().map_err(|_| NoTile)?;
            index = index.checked_mul(1000).and_then(|n| n.checked_add(part)).ok_or(NoTile)?;
        }
        let path = Self { kind, index, width };
        // One spelling for each: leading zeros, signs and misplaced letters fall out here.
        let known = !matches!(kind, TileKind::Hashes(level) if level > MAX_LEVEL);
        let wide = (1..=ENTRIES_PER_BUNDLE).contains(&width);
        let same = path.path().strip_prefix("tile/") == Some(text);
        (known && wide && same).then_some(path).ok_or(NoTile)
    }
}

impl TilePath {
    pub(super) fn new(kind: TileKind, index: u64, width: u64) -> Self {
        Self { kind, index, width }
    }

    /// The bundle that has the entry `seq` in a log of `size` entries, and the entry's place in it. `None` if there is no
    /// such entry.
    #[must_use]
    pub fn of_entry(seq: u64, size: u64) -> Option<(Self, usize)> {
        let index = seq / ENTRIES_PER_BUNDLE;
        let width = size.checked_sub(index * ENTRIES_PER_BUNDLE)?.min(ENTRIES_PER_BUNDLE);
        let place = usize::try_from(seq % ENTRIES_PER_BUNDLE).ok()?;
        (seq < size).then_some((Self::new(TileKind::Entries, index, width), place))
    }

    /// The full tile that a partial one becomes a part of.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: ENTRIES_PER_BUNDLE, ..self }
    }

    /// Of a bundle that was read: the entry at a place. `None` if the bundle is not whole as far as there.
    #[must_use]
    pub fn entry(bundle: &[u8], place: usize) -> Option<&[u8]> {
        entries_of(bundle, 0).0.get(place).map(|(_, entry)| *entry)
    }

    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn width(&self) -> u64 {
        self.width
    }

    /// What it holds.
    #[must_use]
    pub fn kind(&self) -> TileKind {
        self.kind
    }

    /// Whether it will never be another: what is partial may be dropped once the full one is there.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == ENTRIES_PER_BUNDLE
    }

    /// Below the log's directory, or its URL.
    #[must_use]
    pub fn path(&self) -> String {
        match self.kind {
            TileKind::Hashes(level) => hash_path(level, self.index, self.width),
            TileKind::Entries => entry_path(self.index, self.width),
        }
    }

    fn level(&self) -> u32 {
        match self.kind {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        }
    }

    /// Whether a log of `size` entries has it.
    #[must_use]
    pub fn is_within(&self, size: u64) -> bool {
        let level = self.level();
        let end = self.index.checked_mul(ENTRIES_PER_BUNDLE);
        let end = end.and_then(|start| start.checked_add(self.width));
        end.is_some_and(|end| end <= size.checked_shr(8 * level).unwrap_or(0))
    }

    /// Reads it from the log in `dir`. `None` if the log's signed head does not have it: what lies there beyond the head was
    /// never shown to anybody, and may become another.
    ///
    /// # Errors
    /// Those of reading; a checkpoint that is none is `InvalidData`.
    pub fn read(&self, dir: &Path) -> io::Result<Option<Vec<u8>>> {
        let Some(checkpoint) = absent(fs::read(dir.join("checkpoint")))? else { return Ok(None) };
        let head = Checkpoint::peek(&checkpoint)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if !self.is_within(head.size) {
            return Ok(None);
        }
        match absent(fs::read(dir.join(self.path())))? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.read_wider(dir, head.size),
        }
    }

    /// Reads a partial tile out of the one that has its place under the head: a log whose older heads were shown may have
    /// been written anew, as a session's is when it is sealed.
    fn read_wider(&self, dir: &Path, size: u64) -> io::Result<Option<Vec<u8>>> {
        let nodes = size >> (8 * self.level());
        let width = (nodes - self.index * ENTRIES_PER_BUNDLE).min(ENTRIES_PER_BUNDLE);
        if width == self.width {
            return Ok(None);
        }
        let Some(mut bytes) = absent(fs::read(dir.join(Self { width, ..*self }.path())))? else {
            return Ok(None);
        };
        let wanted = usize::try_from(self.width).unwrap_or(usize::MAX);
        let end = match self.kind {
            TileKind::Hashes(_) => Some(32 * wanted),
            TileKind::Entries => {
                let (entries, _) = entries_of(&bytes, width);
                entries.get(wanted - 1).map(|(at, entry)| at + 2 + entry.len())
            }
        };
        let end = end.filter(|end| *end <= bytes.len());
        Ok(end.map(|end| {
            bytes.truncate(end);
            bytes
        }))
    }
}

fn absent(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_one_name_each_and_belong_to_the_sizes_that_have_them() {
        for (text, from, to) in [
            ("0/000", 256, 255),
            ("0/000.p/17", 17, 16),
            ("1/000.p/1", 256, 255),
            ("entries/x001/x234/067", 1_234_068 * 256, 1_234_068 * 256 - 1),
            ("entries/001.p/255", 511, 510),
            ("2/000.p/1", 65_536, 65_535),
        ] {
            let tile: TilePath = text.parse().unwrap();
            assert_eq!(tile.path(), format!("tile/{text}"));
            assert!(tile.is_within(from) && !tile.is_within(to), "{text}");
        }
        for text in [
            "",
            "0",
            "0/",
            "0/0",
            "0/00",
            "00/000",
            "8/000",
            "+0/000",
            "-1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/x000/000",
            "0/001/000",
            "0/x001/x000",
            "data/000",
            "entries/../000",
            "0/000/",
            "0/000.p",
            "0/+00",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "entries/000.p/1/x",
            "0//000",
        ] {
            assert_eq!(text.parse::<TilePath>(), Err(NoTile), "{text:?}");
        }
    }
}
