//! The seal: a record's tiles, its attestation and its checkpoint, made from the journal, which then goes.
//!
//! Order on disk: tiles, the leaf in the installation log, the attestation, the checkpoint, removal of what was shown of the
//! session while it lived, removal of the journal.
//! Until the checkpoint is there the journal counts, and sealing again replaces whatever a crash left; from then on the tiles
//! do. Signatures are deterministic; only the position in the installation log differs then.

mod dsse;
mod statement;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::canonical::{self, CanonicalError};
use crate::disk::Disk;
use crate::durable;
use crate::event::{Event, EventError};
use crate::installation::{InstallationLog, LogError, LogPosition, SessionHead};
use crate::journal::frame::FrameReader;
use crate::journal::{FrameError, Head, JOURNAL_FILE, JournalHeader};
use crate::living;
use crate::sink::SinkError;
use crate::standing::CHECKPOINT_FILE;
use crate::tlog::{Checkpoint, Keys, TileWriter};
pub use dsse::{
    DsseError, DsseSignature, Envelope, MAX_ENVELOPE_BYTES, PAYLOAD_TYPE, pre_authentication,
};
pub use statement::{
    AgentSession, DigestSet, LogReference, PREDICATE_SCHEMA_ID, PREDICATE_TYPE,
    STATEMENT_SCHEMA_ID, STATEMENT_TYPE, Statement, Subject, Summary,
};

/// Name of the attestation's file in a record's directory.
pub(crate) const SEAL_FILE: &str = "seal.dsse.json";

/// Name of the file in a record's directory that says which key signed it. It proves nothing by itself.
pub(crate) const KEY_FILE: &str = "installation.vkey";

/// Why a record can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The last event is not `session.closed`.
    #[error("the record has no closing event: it can't be sealed")]
    NotClosed,
    /// The journal can't be written to its end.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The journal can't be read back.
    #[error("the journal can't be read back")]
    Frame(#[from] FrameError),
    /// The journal does not begin with this session's header.
    #[error("the journal has another header than the one that it was begun with")]
    Header,
    /// An event can't be read back.
    #[error("event {seq} of the journal is not well formed")]
    Event {
        /// Which.
        seq: u64,
        /// Why.
        #[source]
        source: EventError,
    },
    /// What the file holds is not what was written to it.
    #[error("the journal's file holds other events than were appended")]
    Differs,
    /// A file or directory.
    #[error("the record in {path} can't be sealed")]
    Io {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The installation log.
    #[error("the record's head can't be appended to the installation log")]
    Log(#[from] LogError),
    /// The log is another installation's.
    #[error("the keys {keys} and the installation log are not of one installation")]
    Installation {
        /// Name of the keys.
        keys: String,
    },
    /// The attestation.
    #[error("the attestation can't be written")]
    Encode(#[from] CanonicalError),
}

/// A sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its size and root.
    pub head: Head,
    /// Its leaf in the installation log.
    pub position: LogPosition,
}

pub(crate) fn seal(
    disk: &dyn Disk,
    dir: &Path,
    header: &JournalHeader,
    head: Head,
    keys: &Keys,
    log: &InstallationLog,
) -> Result<Sealed, SealError> {
    let io = |source| SealError::Io { path: dir.to_owned(), source };
    if log.name() != keys.name() {
        return Err(SealError::Installation { keys: keys.name().to_owned() });
    }
    unsign(disk, dir).map_err(io)?;
    let summary = write_tiles(disk, dir, header, head)?;
    let closed = summary.closed_at().ok_or(SealError::NotClosed)?;

    let leaf = SessionHead {
        session: header.session,
        size: head.size,
        root: head.root,
        time: closed,
        sealed: true,
    };
    // The keys in force when it was appended: they may have been rotated since the session began.
    let (position, keys) = log.append_signed(&leaf)?;

    let verifier = keys.verifier();
    let origin = verifier.session_origin(header.session);
    let checkpoint =
        Checkpoint { origin: origin.clone(), size: head.size, root: head.root }.sign(&keys);
    let reference = LogReference { origin, size: head.size, root: head.root };
    let statement = summary
        .statement(reference, Some(position.clone()), &checkpoint)
        .ok_or(SealError::NotClosed)?;
    let envelope = Envelope::sign(&canonical::to_vec(&statement)?, &keys);

    durable::replace(disk, &dir.join(KEY_FILE), format!("{verifier}\n").as_bytes()).map_err(io)?;
    durable::replace(disk, &dir.join(SEAL_FILE), &envelope.to_bytes()?).map_err(io)?;
    durable::replace(disk, &dir.join(CHECKPOINT_FILE), &checkpoint).map_err(io)?;
    Ok(Sealed { head, position })
}

/// The last step, to be repeated until it succeeds: the tiles alone are the record then.
pub(crate) fn remove_journal(disk: &dyn Disk, dir: &Path) -> Result<(), SealError> {
    let removed =
        living::forget(disk, dir).and_then(|()| match disk.remove_file(&dir.join(JOURNAL_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => disk.sync_dir(dir),
        });
    removed.map_err(|source| SealError::Io { path: dir.to_owned(), source })
}

/// Takes back what an attempt before this one signed, and failed to make durable: what is signed counts before the journal, so
/// the tiles must be whole as long as it is there.
fn unsign(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let mut found = false;
    for name in [CHECKPOINT_FILE, SEAL_FILE] {
        match disk.remove_file(&dir.join(name)) {
            Ok(()) => found = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if found { disk.sync_dir(dir) } else { Ok(()) }
}

/// Turns the journal into tiles and gathers what the attestation says.
fn write_tiles(
    disk: &dyn Disk,
    dir: &Path,
    header: &JournalHeader,
    head: Head,
) -> Result<Summary, SealError> {
    let io = |source| SealError::Io { path: dir.to_owned(), source };
    match disk.remove_tree(&dir.join("tile")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let journal = File::open(dir.join(JOURNAL_FILE)).map_err(io)?;
    let mut reader = FrameReader::new(BufReader::with_capacity(1 << 20, journal))?;
    if reader.next()?.and_then(JournalHeader::parse).as_ref() != Some(header) {
        return Err(SealError::Header);
    }
    let mut tiles = TileWriter::new(disk, dir, head.size).map_err(io)?;
    let mut summary = Summary::new(header.session, header.policy);
    while let Some(payload) = reader.next()? {
        let seq = tiles.frontier().size();
        // Most events say nothing that the attestation repeats: those are not parsed.
        if Summary::wants(payload) {
            let event = Event::from_canonical(payload)
                .map_err(|source| SealError::Event { seq, source })?;
            summary.take(&event);
        }
        tiles.push(payload).map_err(io)?;
    }
    if tiles.frontier().size() != head.size || tiles.frontier().root() != head.root {
        return Err(SealError::Differs);
    }
    tiles.finish().map_err(io)?;
    Ok(summary)
}
