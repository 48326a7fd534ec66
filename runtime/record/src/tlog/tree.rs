//! The Merkle tree of RFC 6962, section 2.1, with SHA-256.

use custody_model::Digest;
use sha2::{Digest as _, Sha256};

/// The hash of an entry: SHA-256 of a zero byte and the entry.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Digest {
    let mut hash = Sha256::new_with_prefix([0]);
    hash.update(entry);
    Digest::from_bytes(hash.finalize().into())
}

/// The hash of an inner node: SHA-256 of a one byte and the two hashes below.
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hash = Sha256::new_with_prefix([1]);
    hash.update(left.as_bytes());
    hash.update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// What has to be kept of a tree to go on appending: the hashes of its complete subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Digest>,
}

impl Frontier {
    /// Appends an entry by its leaf hash. Amortised two hashes.
    pub fn push(&mut self, leaf: Digest) {
        let mut node = leaf;
        let mut size = self.size;
        while size & 1 == 1 {
            // One complete subtree of this size stands alone, so that the two become one.
            if let Some(left) = self.subtrees.pop() {
                node = node_hash(&left, &node);
            }
            size >>= 1;
        }
        self.subtrees.push(node);
        self.size += 1;
    }

    /// From the tiles of a log that are not full: per level their hashes.
    pub(crate) fn from_tiles(size: u64, levels: &[Vec<Digest>]) -> Self {
        let mut subtrees = Vec::new();
        for hashes in levels.iter().rev() {
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                // The largest power of two that is not above the length.
                let (left, right) = rest.split_at(1 << rest.len().ilog2());
                subtrees.push(root_of(left));
                rest = right;
            }
        }
        Self { size, subtrees }
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; of the empty tree it is the SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(last) = subtrees.next() else {
            return Digest::of(&[]);
        };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root over leaf hashes.
pub fn root_of<'a>(leaves: impl IntoIterator<Item = &'a Digest>) -> Digest {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.push(*leaf);
    }
    frontier.root()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The eight entries and roots that the RFC's authors published with their implementation
    /// (certificate-transparency, `merkletree/merkle_tree_test.cc`).
    #[test]
    fn roots_are_those_of_the_public_rfc_6962_vectors() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(
            frontier.root().hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (entry, root) in entries.iter().zip(roots) {
            frontier.push(leaf_hash(&hex::decode(entry).unwrap()));
            assert_eq!(frontier.root().hex(), root, "size {}", frontier.size());
        }
    }
}
