//! Tiles on disk: C2SP tlog-tiles v0.1.0. Tiles of 256 hashes, bundles of 256 entries, partial ones with their width
//! in the name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use custody_model::Digest;

use super::tree::{Frontier, leaf_hash, root_of};
use crate::disk::{Disk, write_all_at};
use crate::durable;
use crate::event::MAX_EVENT_BYTES;

/// Hashes of a full tile, and entries of a full bundle.
pub const ENTRIES_PER_BUNDLE: u64 = 256;

/// Above this many files one `syncfs` is cheaper than an fsync of each.
const SYNC_EACH_LIMIT: u64 = 128;

/// Why a bundle can't be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BundleError {
    /// It ends inside of an entry.
    #[error("the bundle ends inside of the entry that begins at byte {0}")]
    Cut(usize),
    /// It has another number of entries than its name says.
    #[error("the bundle has {found} entries, and {wanted} are wanted")]
    Count {
        /// In the file.
        found: usize,
        /// By its name.
        wanted: usize,
    },
}

/// Tile numbers are written in groups of three digits, all but the last with an `x`.
fn number(n: u64) -> String {
    let mut path = format!("{:03}", n % 1000);
    let mut rest = n / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

fn with_width(base: String, width: u64) -> String {
    if width == ENTRIES_PER_BUNDLE { base } else { format!("{base}.p/{width}") }
}

/// Path of an entry bundle, below the log's directory.
pub(crate) fn entry_path(index: u64, width: u64) -> String {
    with_width(format!("tile/entries/{}", number(index)), width)
}

/// Path of a hash tile, below the log's directory.
pub(crate) fn hash_path(level: u32, index: u64, width: u64) -> String {
    with_width(format!("tile/{level}/{}", number(index)), width)
}

/// The tiles of one level in a log of `size` entries, as `(index, width)`.
pub(crate) fn widths(level: u32, size: u64) -> impl Iterator<Item = (u64, u64)> {
    let nodes = size.checked_shr(8 * level).unwrap_or(0);
    let full = (0..nodes / ENTRIES_PER_BUNDLE).map(|i| (i, ENTRIES_PER_BUNDLE));
    let partial =
        Some((nodes / ENTRIES_PER_BUNDLE, nodes % ENTRIES_PER_BUNDLE)).filter(|(_, w)| *w > 0);
    full.chain(partial)
}

/// An entry, and where the two bytes of its length stand in the bundle.
pub(crate) type BundleEntry<'a> = (usize, &'a [u8]);

/// The entries of a bundle.
///
/// # Errors
/// [`BundleError`], with everything that could be read before it.
pub(crate) fn entries_of(
    bundle: &[u8],
    width: u64,
) -> (Vec<BundleEntry<'_>>, Result<(), BundleError>) {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bundle.len() {
        let rest = &bundle[at..];
        let entry = rest
            .split_first_chunk::<2>()
            .and_then(|(len, rest)| rest.get(..usize::from(u16::from_be_bytes(*len))));
        let Some(entry) = entry else {
            return (entries, Err(BundleError::Cut(at)));
        };
        entries.push((at, entry));
        at += 2 + entry.len();
    }
    let wanted = usize::try_from(width).unwrap_or(usize::MAX);
    let count = entries.len();
    let result =
        if count == wanted { Ok(()) } else { Err(BundleError::Count { found: count, wanted }) };
    (entries, result)
}

/// Appends to a log on disk. Full tiles are written as they fill; [`TileWriter::finish`] writes the partial ones.
#[derive(Debug)]
pub(crate) struct TileWriter<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    frontier: Frontier,
    bundle: Vec<u8>,
    /// Per level: the hashes of the tile that is not full.
    levels: Vec<Vec<Digest>>,
    /// With many files: the directory, opened before anything is written, to sync the file system by at the end.
    sync_at_once: Option<File>,
}

impl<'a> TileWriter<'a> {
    /// A new log in `dir`, which exists, that will have about `expected` entries.
    pub(crate) fn new(disk: &'a dyn Disk, dir: &Path, expected: u64) -> io::Result<Self> {
        let few = expected / ENTRIES_PER_BUNDLE * 2 < SYNC_EACH_LIMIT;
        Ok(Self {
            disk,
            dir: dir.to_owned(),
            frontier: Frontier::default(),
            bundle: Vec::new(),
            levels: Vec::new(),
            sync_at_once: if few { None } else { Some(File::open(dir)?) },
        })
    }

    /// Goes on with a log of `size` entries.
    pub(crate) fn resume(disk: &'a dyn Disk, dir: &Path, size: u64) -> io::Result<Self> {
        let mut writer = Self::new(disk, dir, 0)?;
        let mut level = 0;
        while size.checked_shr(8 * level).unwrap_or(0) > 0 {
            let nodes = size >> (8 * level);
            let (index, width) = (nodes / ENTRIES_PER_BUNDLE, nodes % ENTRIES_PER_BUNDLE);
            let mut hashes = Vec::new();
            if width > 0 {
                let bytes = fs::read(dir.join(hash_path(level, index, width)))?;
                let (chunks, rest) = bytes.as_chunks::<32>();
                if !rest.is_empty() || chunks.len() as u64 != width {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "a hash tile has the wrong length",
                    ));
                }
                hashes.extend(chunks.iter().copied().map(Digest::from_bytes));
            }
            writer.levels.push(hashes);
            level += 1;
        }
        let (index, width) = (size / ENTRIES_PER_BUNDLE, size % ENTRIES_PER_BUNDLE);
        if width > 0 {
            writer.bundle = fs::read(dir.join(entry_path(index, width)))?;
            // What is put behind damaged entries could not be read again.
            let (entries, whole) = entries_of(&writer.bundle, width);
            let hashes = entries.iter().map(|(_, entry)| leaf_hash(entry));
            if whole.is_err() || !hashes.eq(writer.levels[0].iter().copied()) {
                let what =
                    format!("{} does not hold the entries of its hashes", entry_path(index, width));
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        writer.frontier = Frontier::from_tiles(size, &writer.levels);
        Ok(writer)
    }

    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Appends an entry of at most 65,535 bytes and returns its leaf hash.
    pub(crate) fn push(&mut self, entry: &[u8]) -> io::Result<Digest> {
        debug_assert!(entry.len() <= MAX_EVENT_BYTES);
        let length = u16::try_from(entry.len())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let leaf = leaf_hash(entry);
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(entry);
        self.frontier.push(leaf);
        if self.frontier.size().is_multiple_of(ENTRIES_PER_BUNDLE) {
            let index = self.frontier.size() / ENTRIES_PER_BUNDLE - 1;
            let bundle = std::mem::take(&mut self.bundle);
            self.write(&entry_path(index, ENTRIES_PER_BUNDLE), &bundle)?;
        }
        self.push_hash(0, leaf)?;
        Ok(leaf)
    }

    fn push_hash(&mut self, level: u32, hash: Digest) -> io::Result<()> {
        let slot = level as usize;
        if self.levels.len() <= slot {
            self.levels.push(Vec::new());
        }
        self.levels[slot].push(hash);
        if self.levels[slot].len() as u64 == ENTRIES_PER_BUNDLE {
            let hashes = std::mem::take(&mut self.levels[slot]);
            let index = (self.frontier.size() >> (8 * (level + 1))) - 1;
            self.write_hashes(level, index, &hashes)?;
            self.push_hash(level + 1, root_of(&hashes))?;
        }
        Ok(())
    }

    fn write_hashes(&self, level: u32, index: u64, hashes: &[Digest]) -> io::Result<()> {
        let bytes: Vec<u8> = hashes.iter().flat_map(|h| *h.as_bytes()).collect();
        self.write(&hash_path(level, index, hashes.len() as u64), &bytes)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(path);
        let dir = path.parent().unwrap_or(&self.dir);
        if self.sync_at_once.is_none() {
            durable::make_dir(self.disk, dir)?;
            return durable::replace(self.disk, &path, bytes);
        }
        self.make_dir_unsynced(dir)?;
        write_all_at(self.disk, &self.disk.create(&path)?, bytes, 0)
    }

    /// Writes the partial tiles and makes everything durable.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let size = self.frontier.size();
        if !self.bundle.is_empty() {
            self.write(
                &entry_path(size / ENTRIES_PER_BUNDLE, size % ENTRIES_PER_BUNDLE),
                &self.bundle,
            )?;
        }
        for (level, hashes) in (0..).zip(&self.levels) {
            if !hashes.is_empty() {
                self.write_hashes(level, size >> (8 * (level + 1)), hashes)?;
            }
        }
        self.sync_at_once.as_ref().map_or(Ok(()), |dir| self.disk.sync_file_system(dir))
    }

    fn make_dir_unsynced(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        self.make_dir_unsynced(dir.parent().unwrap_or(&self.dir))?;
        self.disk.create_dir(dir)
    }
}

/// Entries that the bundles in a log's directory hold by their names, whatever its head says.
pub(crate) fn entries_there(dir: &Path) -> io::Result<u64> {
    let mut most = 0;
    let mut open = vec![(dir.join("tile/entries"), String::new())];
    while let Some((dir, number)) = open.pop() {
        let found = match fs::read_dir(&dir) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in found {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let (digits, partial) = match name.strip_suffix(".p") {
                Some(digits) => (digits, true),
                None => (name.as_str(), false),
            };
            let number = format!("{number}{}", digits.trim_start_matches('x'));
            let Ok(index) = number.parse::<u64>() else { continue };
            if partial {
                for width in fs::read_dir(entry.path())? {
                    let width = width?.file_name().to_string_lossy().parse::<u64>();
                    most = most.max(index * ENTRIES_PER_BUNDLE + width.unwrap_or(0));
                }
            } else if entry.file_type()?.is_dir() {
                open.push((entry.path(), number));
            } else {
                most = most.max((index + 1) * ENTRIES_PER_BUNDLE);
            }
        }
    }
    Ok(most)
}

/// Paths of the hash tiles that are missing or hold other hashes than these leaves give, below the log's directory.
pub(crate) fn damaged_tiles(dir: &Path, leaves: Vec<Digest>) -> Vec<String> {
    let size = leaves.len() as u64;
    let (mut nodes, mut level, mut damaged) = (leaves, 0, Vec::new());
    while !nodes.is_empty() {
        for (tile, (index, width)) in nodes.chunks(256).zip(widths(level, size)) {
            let path = hash_path(level, index, width);
            let wanted: Vec<u8> = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
            // Where the log went on meanwhile, the full tile begins with the partial one.
            let found = fs::read(dir.join(&path))
                .or_else(|_| fs::read(dir.join(hash_path(level, index, ENTRIES_PER_BUNDLE))));
            let whole = |found: &Vec<u8>| {
                *found == wanted || (found.len() == 256 * 32 && found.starts_with(&wanted))
            };
            if !found.is_ok_and(|found| whole(&found)) {
                damaged.push(path);
            }
        }
        nodes = nodes.chunks_exact(256).map(root_of).collect();
        level += 1;
    }
    damaged
}

/// Removes the partial tiles that became full while the log grew from `old` to `new`, its durable size. Those of every other
/// head that was signed stay: whoever saw that head may ask for them. What can't be removed does no harm.
pub(crate) fn remove_outdated(disk: &dyn Disk, dir: &Path, old: u64, new: u64) {
    let full = |level: u32, size: u64| (size >> (8 * level)) / ENTRIES_PER_BUNDLE;
    let mut outdated = Vec::new();
    for level in (0..8).filter(|level| full(*level, old) < full(*level, new)) {
        outdated.push(hash_path(level, full(level, old), ENTRIES_PER_BUNDLE));
        if level == 0 {
            outdated.push(entry_path(full(level, old), ENTRIES_PER_BUNDLE));
        }
    }
    for path in outdated {
        drop(disk.remove_tree(&dir.join(format!("{path}.p"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(entry_path(1_234_067, 256), "tile/entries/x001/x234/067");
        assert_eq!(hash_path(0, 5, 12), "tile/0/005.p/12");
        assert_eq!(hash_path(2, 1000, 256), "tile/2/x001/000");
    }

    #[test]
    fn a_log_that_is_resumed_after_every_entry_is_the_same_log() {
        let disk = &*crate::disk::real();
        let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut straight = TileWriter::new(disk, one.path(), 600).unwrap();
        for i in 0..600_u32 {
            let entry = i.to_string();
            straight.push(entry.as_bytes()).unwrap();
            if !(20..500).contains(&i) {
                let mut resumed = TileWriter::resume(disk, many.path(), u64::from(i)).unwrap();
                resumed.push(entry.as_bytes()).unwrap();
                resumed.finish().unwrap();
                assert_eq!(resumed.frontier(), straight.frontier(), "after {i}");
                remove_outdated(disk, many.path(), u64::from(i), u64::from(i) + 1);
            } else if i == 20 {
                let mut resumed = TileWriter::resume(disk, many.path(), 20).unwrap();
                for i in 20..500_u32 {
                    resumed.push(i.to_string().as_bytes()).unwrap();
                }
                resumed.finish().unwrap();
            }
        }
        straight.finish().unwrap();
        let files = |dir: &Path| -> Vec<PathBuf> {
            let mut found: Vec<_> = (0..3)
                .flat_map(|level| widths(level, 600).map(move |(i, w)| hash_path(level, i, w)))
                .chain(widths(0, 600).map(|(i, w)| entry_path(i, w)))
                .map(PathBuf::from)
                .collect();
            found.retain(|p| dir.join(p).exists());
            found
        };
        assert_eq!(files(one.path()).len(), 7);
        for path in files(one.path()) {
            assert_eq!(
                fs::read(one.path().join(&path)).unwrap(),
                fs::read(many.path().join(&path)).unwrap()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_bundle_reader_panic(bytes: Vec<u8>, width in 0_u64..300) {
            let (entries, result) = entries_of(&bytes, width);
            if result.is_ok() {
                let read: usize = entries.iter().map(|(_, e)| e.len() + 2).sum();
                proptest::prop_assert_eq!(read, bytes.len());
            }
        }
    }
}
