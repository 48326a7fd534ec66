//! Evidence packs: one file with everything that an outsider needs to check what is disclosed of a sealed record.
//!
//! Format version 1: an uncompressed tar archive (POSIX.1-2001 ustar) of regular files in one fixed order, with one
//! spelling of each header, so that the same record, selection and head of the installation log give the same bytes and
//! no byte is without meaning. Any tar reads it, and `sha256sum` checks its blobs. In this order:
//!
//! | file | what |
//! |---|---|
//! | `manifest.json` | [`Manifest`]: name, size and SHA-256 of every other file, and what is withheld |
//! | `checkpoint` | the signed head of the session's log (C2SP tlog-checkpoint) |
//! | `seal.dsse.json` | the attestation (DSSE, in-toto Statement v1) |
//! | `keys/history.json` | the installation's keys and their rotations: [`crate::KeyHistory`] |
//! | `installation/leaf.tlog-proof` | that the record's head is in the installation log (C2SP tlog-proof); its checkpoint bears the cosignatures that the log's has |
//! | `policy.json` | the policy document in canonical form: its SHA-256 is the digest that every event names |
//! | `events.jsonl` | a line for each event, in order: the event, or `{"withheld":"sha256:…"}` with its RFC 6962 leaf hash |
//! | `proofs/<seq>.tlog-proof` | for each disclosed event, if any is withheld |
//! | `blobs/sha256/<hex>` | the contents that disclosed events name, as they are |

mod check;
mod container;
mod export;
mod manifest;
mod report;
mod selection;

pub use check::{EvidenceOptions, verify_evidence};
pub use container::MAX_FILE_BYTES;
pub use export::{ExportError, Pack, Source};
pub use manifest::{
    EVIDENCE_VERSION, FileEntry, MAX_MANIFEST_BYTES, Manifest, PackFile, WithheldBlob,
    WithheldReason,
};
pub use report::{Attested, EvidenceReport};
pub use selection::{InvalidSequences, Selection, Sequences};
