//! Proofs of RFC 6962, section 2.1: that an entry is in a tree, and that one tree is the beginning of another.
//!
//! They are checked as RFC 9162, sections 2.1.3.2 and 2.1.4.2, tells it, which is the same proof said as a loop.

use custody_model::Digest;

use super::tree::node_hash;

/// Most hashes of a proof: a tree has less than 2⁶⁴ entries.
pub const MAX_PROOF_HASHES: usize = 64;

/// Why a proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry is not within the tree.
    #[error("there is no entry {index} in a tree of {size} entries")]
    Index {
        /// Of the entry.
        index: u64,
        /// Of the tree.
        size: u64,
    },
    /// The sizes stand the wrong way round, or the older tree is empty: that any tree goes on from nothing needs no proof.
    #[error("a tree of {new} entries can't be shown to go on from one of {old}")]
    Sizes {
        /// Of the older tree.
        old: u64,
        /// Of the newer tree.
        new: u64,
    },
    /// Too many or too few hashes for these sizes.
    #[error("the proof has another number of hashes than these sizes need")]
    Length,
    /// It leads to another root.
    #[error("the proof leads to another root than the tree has")]
    Root,
    /// It leads to another root of the older tree.
    #[error("the proof leads to another root than the older tree has")]
    OldRoot,
}

/// Where the hashes of a tree's complete subtrees come from.
pub trait TreeHashes {
    /// Why one can't be had.
    type Error;

    /// The hash over the 2^`level` entries that begin at `index`·2^`level`.
    ///
    /// # Errors
    /// Those of the source.
    fn hash(&self, level: u32, index: u64) -> Result<Digest, Self::Error>;
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The root over the entries `from..to`, a range that the tree of RFC 6962 has a node for; not empty.
fn range<T: TreeHashes>(tree: &T, from: u64, to: u64) -> Result<Digest, T::Error> {
    let n = to - from;
    if n.is_power_of_two() {
        let level = n.trailing_zeros();
        return tree.hash(level, from >> level);
    }
    let middle = from + split(n);
    Ok(node_hash(&range(tree, from, middle)?, &range(tree, middle, to)?))
}

/// The root of the first `size` entries.
///
/// # Errors
/// Those of the source.
pub fn root_at<T: TreeHashes>(tree: &T, size: u64) -> Result<Digest, T::Error> {
    if size == 0 { Ok(Digest::of(&[])) } else { range(tree, 0, size) }
}

/// Proves that the entry `index` is in the tree of the first `size` entries: `PATH` of RFC 6962, the leaf's sibling first.
/// Empty where there is no such entry.
///
/// # Errors
/// Those of the source.
pub fn prove_inclusion<T: TreeHashes>(
    tree: &T,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, T::Error> {
    let mut path = Vec::new();
    if index >= size {
        return Ok(path);
    }
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range(tree, middle, to)?);
            to = middle;
        } else {
            path.push(range(tree, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Proves that the tree of the first `old` entries is the beginning of that of the first `new` ones: `PROOF` of RFC 6962.
/// Empty where there is nothing to prove.
///
/// # Errors
/// Those of the source.
pub fn prove_consistency<T: TreeHashes>(
    tree: &T,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, T::Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut from, mut to) = (0, new);
    while old < to {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(range(tree, middle, to)?);
            to = middle;
        } else {
            proof.push(range(tree, from, middle)?);
            from = middle;
        }
    }
    // A subtree that is the whole older tree is known by its root.
    if from > 0 {
        proof.push(range(tree, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The way from a leaf, or from where the older tree ends, up to the root.
struct Climb {
    at: u64,
    last: u64,
}

impl Climb {
    /// Whether the next hash of the proof stands to the left. `None`: the root is reached, and the proof too long.
    fn next_is_left(&mut self) -> Option<bool> {
        if self.last == 0 {
            return None;
        }
        let left = self.at & 1 == 1 || self.at == self.last;
        if left {
            while self.at & 1 == 0 && self.at != 0 {
                self.up();
            }
        }
        self.up();
        Some(left)
    }

    fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }
}

/// The root that an entry's proof leads to.
///
/// # Errors
/// [`ProofError::Index`], [`ProofError::Length`].
pub fn inclusion_root(
    leaf: Digest,
    index: u64,
    size: u64,
    proof: &[Digest],
) -> Result<Digest, ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let mut climb = Climb { at: index, last: size - 1 };
    let mut root = leaf;
    for hash in proof {
        root = match climb.next_is_left().ok_or(ProofError::Length)? {
            true => node_hash(hash, &root),
            false => node_hash(&root, hash),
        };
    }
    if climb.last == 0 { Ok(root) } else { Err(ProofError::Length) }
}

/// Checks that the entry with this leaf hash stands at `index` in the tree with this size and root.
///
/// # Errors
/// [`ProofError`].
pub fn verify_inclusion(
    leaf: Digest,
    index: u64,
    size: u64,
    root: Digest,
    proof: &[Digest],
) -> Result<(), ProofError> {
    if inclusion_root(leaf, index, size, proof)? == root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that the tree with the first size and root is the beginning of that with the second. The older one has at least
/// one entry.
///
/// # Errors
/// [`ProofError`].
pub fn verify_consistency(
    (old, old_root): (u64, Digest),
    (new, new_root): (u64, Digest),
    proof: &[Digest],
) -> Result<(), ProofError> {
    if old == 0 || old > new {
        return Err(ProofError::Sizes { old, new });
    }
    if old == new {
        return match (proof.is_empty(), old_root == new_root) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let mut climb = Climb { at: old - 1, last: new - 1 };
    while climb.at & 1 == 1 {
        climb.up();
    }
    // A complete older tree is a node of the newer one: its root is where the way begins.
    let (start, rest) = if old.is_power_of_two() {
        (&old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length)?
    };
    let (mut older, mut newer) = (*start, *start);
    for hash in rest {
        if climb.next_is_left().ok_or(ProofError::Length)? {
            older = node_hash(hash, &older);
            newer = node_hash(hash, &newer);
        } else {
            newer = node_hash(&newer, hash);
        }
    }
    if climb.last != 0 {
        Err(ProofError::Length)
    } else if older != old_root {
        Err(ProofError::OldRoot)
    } else if newer != new_root {
        Err(ProofError::Root)
    } else {
        Ok(())
    }
}
