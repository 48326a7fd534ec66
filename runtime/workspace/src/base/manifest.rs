//! What a base commit holds: every path with its git blob, mode and size.
//!
//! Stored form: the lines of `git ls-tree -r -l -z` (mode, type, object id, size, tab, path, NUL), sorted by path
//! bytes; the size is that of the file as it was checked out, in bytes. A withheld path has size `-`.

use std::path::Path;

use custody_model::{GitOid, WorkspacePath};

use crate::content::BaseEntry;

/// What stands at a path of the base commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file, mode 0644.
    File,
    /// A regular file, mode 0755.
    Executable,
    /// A symbolic link; its blob is its target.
    Symlink,
    /// A submodule: an empty directory in the workspace; `blob` is the commit that it stands for.
    Submodule,
}

impl EntryKind {
    /// Git's mode, in octal digits.
    #[must_use]
    pub const fn git_mode(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Submodule => "160000",
        }
    }

    /// Git's mode, as a number.
    #[must_use]
    pub const fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_000,
            Self::Submodule => 0o160_000,
        }
    }

    fn of(mode: &[u8]) -> Option<Self> {
        match mode {
            // Old repositories have 100664, which git treats as 100644.
            b"100644" | b"100664" => Some(Self::File),
            b"100755" => Some(Self::Executable),
            b"120000" => Some(Self::Symlink),
            b"160000" => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// One path of the base commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Where.
    pub path: WorkspacePath,
    /// What.
    pub kind: EntryKind,
    /// Its content's git blob.
    pub blob: GitOid,
    /// Bytes of the file as it was checked out (it differs from the blob's where attributes convert line ends); 0 if
    /// it is withheld.
    pub size: u64,
    /// A rule denies it: it is neither in the checkout nor among the objects.
    pub withheld: bool,
}

/// The paths of a base commit, sorted by their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ManifestEntry>,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("entry {entry} of the manifest is not of the form of git ls-tree -r -l -z: {what}")]
pub struct InvalidManifest {
    entry: usize,
    what: &'static str,
}

impl Manifest {
    /// From entries in any order.
    #[must_use]
    pub fn new(mut entries: Vec<ManifestEntry>) -> Self {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self { entries }
    }

    /// From the stored form.
    ///
    /// # Errors
    /// [`InvalidManifest`].
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let mut entries = Vec::new();
        for (entry, line) in bytes.split(|b| *b == 0).enumerate() {
            if line.is_empty() {
                continue;
            }
            let invalid = |what| InvalidManifest { entry, what };
            let tab = line.iter().position(|b| *b == b'\t').ok_or_else(|| invalid("no tab"))?;
            let (head, path) = (&line[..tab], &line[tab + 1..]);
            let mut words = head.split(|b| *b == b' ').filter(|word| !word.is_empty());
            let mode = words.next().and_then(EntryKind::of);
            let kind = mode.ok_or_else(|| invalid("an unknown mode"))?;
            let _type = words.next().ok_or_else(|| invalid("no type"))?;
            let blob = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            let size = words.next().and_then(|word| match word {
                b"-" => Some(None),
                digits => Some(Some(std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?)),
            });
            let size = size.ok_or_else(|| invalid("no size"))?;
            let path = WorkspacePath::from_bytes(path).map_err(|_| invalid("not a path"))?;
            if path.is_root() {
                return Err(invalid("an empty path"));
            }
            entries.push(ManifestEntry {
                path,
                kind,
                blob: blob.ok_or_else(|| invalid("no object id"))?,
                size: size.unwrap_or(0),
                withheld: size.is_none() && kind != EntryKind::Submodule,
            });
        }
        Ok(Self::new(entries))
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * 100);
        for entry in &self.entries {
            let submodule = entry.kind == EntryKind::Submodule;
            let size = match entry.withheld || submodule {
                true => "-".to_owned(),
                false => entry.size.to_string(),
            };
            let kind = if submodule { "commit" } else { "blob" };
            let head = format!("{} {kind} {} {size:>7}\t", entry.kind.git_mode(), entry.blob);
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(entry.path.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// From the file at `path`.
    ///
    /// # Errors
    /// Of the file system; a malformed file is `InvalidData`.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        Self::parse(&std::fs::read(path)?)
            .map_err(|invalid| std::io::Error::new(std::io::ErrorKind::InvalidData, invalid))
    }

    /// All entries, sorted by path bytes.
    #[must_use]
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// What [`crate::content::Contents`] starts from: every file and link that is there.
    pub fn present(&self) -> impl Iterator<Item = (WorkspacePath, BaseEntry)> {
        let there = |entry: &&ManifestEntry| !entry.withheld && entry.kind != EntryKind::Submodule;
        self.entries.iter().filter(there).map(|entry| {
            let (git_blob, size) = (entry.blob.clone(), entry.size);
            (entry.path.clone(), BaseEntry { git_blob, mode: entry.kind.mode(), size })
        })
    }

    /// The entry at `path`.
    #[must_use]
    pub fn get(&self, path: &WorkspacePath) -> Option<&ManifestEntry> {
        let at = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the commit is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = ManifestEntry> {
        let kinds = prop_oneof![
            Just(EntryKind::File),
            Just(EntryKind::Executable),
            Just(EntryKind::Symlink),
            Just(EntryKind::Submodule),
        ];
        let paths = proptest::collection::vec(any::<u8>(), 1..20)
            .prop_filter_map("a path", |bytes| WorkspacePath::from_bytes(&bytes).ok());
        (paths, kinds, "[0-9a-f]{40}", any::<u64>(), any::<bool>()).prop_map(
            |(path, kind, blob, size, withheld)| {
                let submodule = kind == EntryKind::Submodule;
                let withheld = withheld && !submodule;
                let size = if withheld || submodule { 0 } else { size };
                ManifestEntry { path, kind, blob: blob.parse().unwrap(), size, withheld }
            },
        )
    }

    proptest! {
        #[test]
        fn a_manifest_survives_its_stored_form(entries in proptest::collection::vec(entry(), 0..20)) {
            let manifest = Manifest::new(entries);
            let mut again = Manifest::parse(&manifest.to_bytes()).unwrap();
            // Equal paths may stand in any order.
            prop_assert_eq!(again.len(), manifest.len());
            again.entries.retain(|entry| !manifest.entries.contains(entry));
            prop_assert!(again.is_empty());
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Manifest::parse(&bytes);
        }
    }

    #[test]
    fn the_form_is_that_of_git_ls_tree() {
        let line = b"100755 blob e69de29bb2d1d6434b8b29ae775ad8c2e48c5391      12\tbin/\xffrun\n\0";
        let manifest = Manifest::parse(line).unwrap();
        assert_eq!(manifest.to_bytes(), line);
        let path = WorkspacePath::from_bytes(b"bin/\xffrun\n").unwrap();
        assert_eq!(manifest.get(&path).unwrap().kind, EntryKind::Executable);
    }
}
