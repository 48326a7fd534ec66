//! Transparency logs: RFC 6962 trees in the layout of C2SP tlog-tiles v0.1.0, with heads as C2SP tlog-checkpoint
//! v1.0.0 in C2SP signed notes v1.0.0, and proofs as C2SP tlog-proof v1; what witnesses say as C2SP tlog-cosignature v1.0.1, and whom to believe
//! as C2SP tlog-policy.
//!
//! Own code, because the published crates bring a second `ed25519-dalek`, `sha2` and a URL parser into every
//! verifier; the tests check what is written here with those crates.

mod anchor;
mod checkpoint;
mod cosignature;
mod hashes;
mod history;
mod key;
mod key_files;
mod note;
mod policy;
mod proof;
mod proof_file;
mod published;
mod rotate;
mod signed_log;
mod term;
mod tiles;
mod tree;

pub use anchor::{ANCHOR_ENDING, Anchor};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosignature::{Cosigner, InvalidCosigner, WitnessKey};
pub use hashes::{TileError, TileHashes};
pub use history::{HISTORY_FILE, HistoryError, KeyHistory, MAX_HISTORY_BYTES, Rotation};
pub use key::{InvalidVerifier, KeyError, Keys, Verifier};
pub use note::{MAX_NOTE_BYTES, MAX_SIGNATURES, Note, NoteError, NoteSignature};
pub use policy::{Judged, MAX_POLICY_BYTES, PolicyError, PolicyWitness, TlogPolicy};
pub use proof::{
    MAX_PROOF_HASHES, ProofError, TreeHashes, inclusion_root, prove_consistency, prove_inclusion,
    root_at, verify_consistency, verify_inclusion,
};
pub(crate) use proof_file::hash_line;
pub use proof_file::{MAX_EXTRA_BYTES, MAX_PROOF_BYTES, ProofFileError, TlogProof};
pub use published::{NoTile, TileKind, TilePath};
pub use rotate::{RotateError, rotate};
pub use signed_log::ExtendError;
pub(crate) use signed_log::{LogLock, SignedLog};
pub use term::{Term, Turn};
pub use tiles::{BundleError, ENTRIES_PER_BUNDLE};
pub(crate) use tiles::{TileWriter, damaged_tiles, entries_of, entry_path, hash_path, widths};
pub use tree::{Frontier, leaf_hash, node_hash, root_of};
