//! Which paths the agent's git keeps out of the work tree on purpose: a sparse checkout removes files that nobody deleted.
//!
//! Read from the agent's index as data, for one bit of each entry (`skip-worktree`). Format: git's `index-format`, versions
//! 2 to 4, with sparse directory entries and the extension `link` of a split index.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use custody_model::WorkspacePath;

use super::import::open_regular;
use super::unit::Unit;

/// Largest index that is read, in bytes: some three million entries.
const MAX_INDEX_BYTES: u64 = 256 << 20;
/// Bytes of an entry's stat data.
const STAT_BYTES: usize = 40;
/// Where the mode stands in the stat data.
const MODE_AT: usize = 24;
/// The flag that says that 16 more bits of flags follow.
const EXTENDED: u16 = 0x4000;
/// In those: the entry's file is not to be in the work tree.
const SKIP_WORKTREE: u16 = 0x4000;
/// The mode of an entry that stands for a whole directory outside of the sparse cone.
const DIRECTORY: u32 = 0o040_000;

/// The paths that the agent's index says are not to be in the work tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden {
    files: HashSet<Vec<u8>>,
    directories: Vec<Vec<u8>>,
    /// Something is hidden, and no index says by its name what.
    unknown: bool,
}

impl Hidden {
    /// What the workspace's index and, if git was interrupted, the one that it was writing say.
    pub(super) fn read(unit: &Unit<'_>) -> Self {
        let (clean, oid_bytes) = (unit.request.clean, unit.base.as_str().len() / 2);
        let mut hidden = Self::default();
        let mut known = false;
        for name in ["index", "index.lock"] {
            let Some(bytes) = file(clean, &unit.in_git_dir(name)) else { continue };
            let Some(shared) = hidden.take(&bytes, oid_bytes) else { continue };
            known |= match shared {
                None => true,
                Some(shared) => {
                    let bytes = file(clean, &unit.in_git_dir(format!("sharedindex.{shared}")));
                    bytes.is_some_and(|bytes| hidden.take(&bytes, oid_bytes).is_some())
                }
            };
        }
        hidden.unknown |= !known && file(clean, &unit.in_git_dir("info/sparse-checkout")).is_some();
        hidden
    }

    /// Whether the absence of a path from the work tree is no deletion.
    pub(super) fn has(&self, path: &WorkspacePath) -> bool {
        let path = path.as_bytes();
        self.files.contains(path) || self.directories.iter().any(|above| path.starts_with(above))
    }

    /// Whether an absence that [`Hidden::has`] does not explain may be no deletion.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Takes the entries of an index in. The name of the index that it builds upon, if it is a split one; `None` if the
    /// bytes are no index.
    fn take(&mut self, index: &[u8], oid_bytes: usize) -> Option<Option<String>> {
        let end = index.len().checked_sub(oid_bytes)?;
        let version = number(index, 4)?;
        if index.get(..4)? != b"DIRC" || !matches!(version, 2..=4) {
            return None;
        }
        let index = index.get(..end)?;
        let (mut at, mut name) = (12, Vec::new());
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        for _ in 0..number(index, 8)? {
            let flags_at = at + STAT_BYTES + oid_bytes;
            let extended = half(index, flags_at)? & EXTENDED != 0;
            let skipped = extended && half(index, flags_at + 2)? & SKIP_WORKTREE != 0;
            let mut name_at = flags_at + if extended { 4 } else { 2 };
            if version == 4 {
                let (dropped, length) = offset(index.get(name_at..)?)?;
                name.truncate(name.len().checked_sub(dropped)?);
                name_at += length;
            } else {
                name.clear();
            }
            let rest = index.get(name_at..)?;
            let length = rest.iter().position(|b| *b == 0)?;
            name.extend_from_slice(&rest[..length]);
            // A split index names its changes to entries of the shared one by their number.
            self.unknown |= skipped && name.is_empty();
            if skipped && !name.is_empty() {
                let list = match number(index, at + MODE_AT)? {
                    DIRECTORY => &mut directories,
                    _ => &mut files,
                };
                list.push(name.clone());
            }
            at = match version {
                4 => name_at + length + 1,
                // One to eight NULs, so that the entry's length is a multiple of eight.
                _ => at + ((name_at - at + length) / 8 + 1) * 8,
            };
        }
        let mut shared = None;
        while at < end {
            let length = usize::try_from(number(index, at + 4)?).ok()?;
            let content = index.get(at + 8..(at + 8).checked_add(length)?)?;
            if index.get(at..at + 4)? == b"link" {
                let oid = content.get(..oid_bytes)?;
                if oid.iter().any(|byte| *byte != 0) {
                    shared = Some(oid.iter().map(|byte| format!("{byte:02x}")).collect());
                }
            }
            at += 8 + length;
        }
        self.files.extend(files);
        self.directories.extend(directories);
        Some(shared)
    }
}

fn file(clean: BorrowedFd<'_>, path: &Path) -> Option<Vec<u8>> {
    let (file, size) = open_regular(clean, path).ok()??;
    let mut bytes = Vec::new();
    let read = file.take(MAX_INDEX_BYTES + 1).read_to_end(&mut bytes).ok()?;
    (size.max(read as u64) <= MAX_INDEX_BYTES).then_some(bytes)
}

fn number(index: &[u8], at: usize) -> Option<u32> {
    let bytes = index.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn half(index: &[u8], at: usize) -> Option<u16> {
    let bytes = index.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// A number in the encoding of `OFS_DELTA` offsets, and how many bytes it takes.
fn offset(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().enumerate() {
        let bits = usize::from(byte & 0x7f);
        value = if at == 0 { bits } else { value.checked_add(1)?.checked_mul(128)? | bits };
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            version in 2_u8..5,
            count in 0..4_u32,
            tail in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = vec![b'D', b'I', b'R', b'C', 0, 0, 0, version];
            bytes.extend_from_slice(&count.to_be_bytes());
            bytes.extend_from_slice(&tail);
            let _ = Hidden::default().take(&bytes, 20);
        }
    }
}
