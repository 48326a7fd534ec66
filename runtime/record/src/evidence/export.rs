//! Makes an evidence pack of a sealed record.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use custody_model::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::container::Writer;
use super::manifest::{
    EVIDENCE_VERSION, FileEntry, MANIFEST, Manifest, PackFile, WithheldBlob, WithheldReason,
};
use super::selection::Selection;
use crate::blob::{BlobError, Blobs};
use crate::canonical::{self, CanonicalError};
use crate::event::{Event, EventError};
use crate::installation::InstallationLog;
use crate::reader::{ReadError, Reader};
use crate::seal::{DsseError, Envelope, SEAL_FILE, Statement};
use crate::tlog::{
    Checkpoint, CheckpointError, KeyHistory, TileError, TileHashes, TlogProof, leaf_hash,
    prove_inclusion,
};
use crate::vault::ContentKey;

/// Where a pack is made from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The record's directory.
    pub record: &'a Path,
    /// The installation log's directory.
    pub log: &'a Path,
    /// The installation's keys.
    pub keys: &'a KeyHistory,
    /// The policy document in canonical form, if it is there.
    pub policy: Option<&'a [u8]>,
    /// The key of the record's content, if it is sealed; what is in the pack is in the clear.
    pub content: Option<&'a ContentKey>,
}

/// Why no pack can be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The session lives, or its record was never closed.
    #[error("the record is not sealed yet: there is nothing that could be proved")]
    NotSealed,
    /// The seal does not say where the head is in the installation log.
    #[error("the seal names no place in the installation log")]
    NoPosition,
    /// The record.
    #[error("the record can't be read")]
    Read(#[from] ReadError),
    /// An event.
    #[error("event {seq} of the record is damaged")]
    Event {
        /// Which.
        seq: u64,
        /// Why.
        #[source]
        source: EventError,
    },
    /// The seal.
    #[error("the record's seal can't be believed")]
    Seal(#[from] DsseError),
    /// The statement.
    #[error("the record's seal holds no statement of ours")]
    Statement(#[from] serde_json::Error),
    /// A head.
    #[error("a checkpoint can't be believed")]
    Checkpoint(#[from] CheckpointError),
    /// A proof.
    #[error("a proof can't be made from the tiles")]
    Tile(#[from] TileError),
    /// A content.
    #[error("a content can't be read")]
    Blob(#[from] BlobError),
    /// The manifest.
    #[error("the manifest can't be written")]
    Encode(#[from] CanonicalError),
    /// A file of the record.
    #[error("{path} can't be read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The pack.
    #[error("the evidence can't be written")]
    Write(#[source] io::Error),
}

/// A line in the place of an event that is withheld.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::evidence) struct WithheldLine {
    /// RFC 6962 leaf hash of the event.
    pub(in crate::evidence) withheld: Digest,
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Hashing<W> {
    fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), size: 0 }
    }

    fn digest(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.size)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What the events disclose.
#[derive(Default)]
struct Disclosed {
    /// Numbers of the disclosed events.
    shown: Vec<u64>,
    withheld: u64,
    /// Contents that they name, with their sizes.
    blobs: BTreeMap<Digest, u64>,
}

/// Writes the lines of the events.
fn write_events(
    reader: &Reader,
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<Disclosed, ExportError> {
    let mut disclosed = Disclosed::default();
    for (seq, entry) in (0..).zip(reader.entries()?) {
        let entry = entry?;
        let event =
            Event::from_canonical(&entry).map_err(|source| ExportError::Event { seq, source })?;
        let line = if selection.shows(&event) {
            disclosed.shown.push(seq);
            disclosed.blobs.extend(event.blobs.iter().map(|blob| (blob.digest, blob.size)));
            entry
        } else {
            disclosed.withheld += 1;
            canonical::to_vec(&WithheldLine { withheld: leaf_hash(&entry) })?
        };
        let written = out.write_all(&line).and_then(|()| out.write_all(b"\n"));
        written.map_err(ExportError::Write)?;
    }
    Ok(disclosed)
}

/// Which contents go into the pack, and which are named as withheld.
fn sort_blobs(
    blobs: &Blobs,
    named: &BTreeMap<Digest, u64>,
    selection: &Selection,
) -> Result<(Vec<FileEntry>, Vec<WithheldBlob>), ExportError> {
    let (mut files, mut withheld) = (Vec::new(), Vec::new());
    for (digest, size) in named {
        let (digest, size) = (*digest, *size);
        let reason = if selection.withhold_content {
            Some(WithheldReason::Chosen)
        } else {
            match blobs.check(&digest, size) {
                Ok(found) if found == size => None,
                // What is damaged is no evidence, and that it can't be had is said.
                Ok(_)
                | Err(
                    BlobError::Missing(_)
                    | BlobError::Swapped(..)
                    | BlobError::Damaged { .. }
                    | BlobError::TooLarge { .. }
                    | BlobError::Locked(_)
                    | BlobError::Erased { .. },
                ) => Some(WithheldReason::Unavailable),
                Err(error @ (BlobError::Io { .. } | BlobError::Write(_))) => {
                    return Err(error.into());
                }
            }
        };
        match reason {
            None => files.push(FileEntry { path: PackFile::Blob(digest), size, sha256: digest }),
            Some(reason) => withheld.push(WithheldBlob { digest, size, reason }),
        }
    }
    Ok((files, withheld))
}

fn read(path: PathBuf) -> Result<Vec<u8>, ExportError> {
    fs::read(&path).map_err(|source| ExportError::File { path, source })
}

/// What is disclosed of a record, ready to be written as often as wanted: each time the same bytes.
#[derive(Debug)]
pub struct Pack {
    reader: Reader,
    contents: Blobs,
    selection: Selection,
    small: BTreeMap<PackFile, Vec<u8>>,
    manifest: Manifest,
}

impl Pack {
    /// Gathers what the selection discloses of a record. The same source and selection give the same pack, as long as
    /// the installation log has the same head.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn of(source: Source<'_>, selection: Selection) -> Result<Self, ExportError> {
        let reader = Reader::open(source.record)?;
        let contents = reader.blobs().with_key(source.content.cloned());
        let size = reader.sealed_size().ok_or(ExportError::NotSealed)?;
        let verifier = source.keys.verifier();
        let checkpoint = read(source.record.join("checkpoint"))?;
        let seal = read(source.record.join(SEAL_FILE))?;
        let statement: Statement =
            serde_json::from_slice(&Envelope::parse(&seal)?.verify(&verifier)?)?;
        let session = statement.predicate.session;
        Checkpoint::open(&checkpoint, &verifier.session_origin(session), &verifier)?;
        let position = statement.predicate.installation_log.ok_or(ExportError::NoPosition)?;
        let installation = prove(source.log, position.index)?;

        let mut lines = Hashing::new(io::sink());
        let disclosed = write_events(&reader, &selection, &mut lines)?;
        let lines = lines.digest();

        let mut small = BTreeMap::from([
            (PackFile::Checkpoint, checkpoint.clone()),
            (PackFile::Seal, seal),
            (PackFile::Keys, source.keys.to_bytes()?),
            (PackFile::Installation, installation),
        ]);
        if let Some(policy) = source.policy {
            small.insert(PackFile::Policy, policy.to_vec());
        }
        if disclosed.withheld > 0 {
            let tree = TileHashes::new(source.record, size);
            for seq in &disclosed.shown {
                let hashes = prove_inclusion(&tree, *seq, size)?;
                let proof =
                    TlogProof { extra: None, index: *seq, hashes, checkpoint: checkpoint.clone() };
                small.insert(PackFile::Proof(*seq), proof.to_bytes());
            }
        }
        let mut files: Vec<FileEntry> = small
            .iter()
            .map(|(path, bytes)| FileEntry {
                path: *path,
                size: bytes.len() as u64,
                sha256: Digest::of(bytes),
            })
            .collect();
        files.push(FileEntry { path: PackFile::Events, size: lines.1, sha256: lines.0 });
        let (blobs, withheld_blobs) = sort_blobs(&contents, &disclosed.blobs, &selection)?;
        files.extend(blobs);
        files.sort_by_key(|entry| entry.path);
        let manifest = Manifest {
            version: EVIDENCE_VERSION,
            session,
            events: size,
            withheld_events: disclosed.withheld,
            withheld_blobs,
            files,
        };
        Ok(Self { reader, contents, selection, small, manifest })
    }

    /// Its table of files.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes it; SHA-256 and size of what was written.
    ///
    /// # Errors
    /// [`ExportError`]; what was written then is no pack.
    pub fn write(&self, out: impl Write) -> Result<(Digest, u64), ExportError> {
        let mut whole = Hashing::new(out);
        let mut archive = Writer::new(&mut whole);
        let table = self.manifest.to_bytes()?;
        archive
            .file(MANIFEST, table.len() as u64, |out| out.write_all(&table))
            .map_err(ExportError::Write)?;
        for entry in &self.manifest.files {
            let mut failed = None;
            let written = archive.file(&entry.path.to_string(), entry.size, |out| {
                self.write_file(entry, out).map_err(|error| match error {
                    ExportError::Write(error) => error,
                    other => {
                        failed = Some(other);
                        io::Error::other("the source can't be read")
                    }
                })
            });
            match (failed, written) {
                (Some(error), _) => return Err(error),
                (None, written) => written.map_err(ExportError::Write)?,
            }
        }
        archive.finish().map_err(ExportError::Write)?;
        Ok(whole.digest())
    }

    fn write_file(&self, entry: &FileEntry, out: &mut dyn Write) -> Result<(), ExportError> {
        match entry.path {
            PackFile::Events => write_events(&self.reader, &self.selection, out).map(drop),
            PackFile::Blob(digest) => Ok(self.contents.copy(&digest, entry.size, out)?),
            PackFile::Checkpoint
            | PackFile::Seal
            | PackFile::Keys
            | PackFile::Installation
            | PackFile::Policy
            | PackFile::Proof(_) => {
                let bytes = self.small.get(&entry.path).map(Vec::as_slice).unwrap_or_default();
                out.write_all(bytes).map_err(ExportError::Write)
            }
        }
    }
}

/// The proof that a leaf is in the log in `dir`: under the newest head that witnesses cosigned, if it has the leaf already.
fn prove(dir: &Path, index: u64) -> Result<Vec<u8>, ExportError> {
    let path = dir.join("checkpoint");
    let file = |source| ExportError::File { path: path.clone(), source };
    let mut checkpoint = fs::read(&path).map_err(file)?;
    if let Some(shown) = InstallationLog::published(dir).map_err(file)?
        && Checkpoint::peek(&shown)?.size > index
    {
        checkpoint = shown;
    }
    let size = Checkpoint::peek(&checkpoint)?.size;
    let hashes = prove_inclusion(&TileHashes::new(dir, size), index, size)?;
    Ok(TlogProof { extra: None, index, hashes, checkpoint }.to_bytes())
}
