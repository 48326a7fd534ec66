//! Signs the head of a session that lives.

use std::io;
use std::path::{Path, PathBuf};

use custody_model::Timestamp;

use super::{LIVING_CHECKPOINT, LIVING_PLACE, Placed};
use crate::canonical::{self, CanonicalError};
use crate::disk::Disk;
use crate::durable;
use crate::installation::{InstallationLog, LogError, SessionHead};
use crate::journal::Journal;
use crate::sink::{Sink, SinkError};
use crate::tlog::Checkpoint;

/// Why the head of a session can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// What was appended can't be made durable.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The installation log.
    #[error("the record's head can't be appended to the installation log")]
    Log(#[from] LogError),
    /// A document.
    #[error("the place of the record's head can't be written")]
    Encode(#[from] CanonicalError),
    /// A file.
    #[error("the signed head in {path} can't be written")]
    Io {
        /// The record's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes what was appended to a journal durable, puts its head into the installation log, and shows the head, signed, to
/// whoever follows the session's log. `None` if there are no more than `after` events. To be called about once a second.
///
/// In this order: no head is shown that a crash could take back, or that the installation log does not have. That the shown
/// head itself survives a loss of power is not needed: an older one is true as well.
///
/// # Errors
/// [`PublishError`]; it is to be tried again then.
pub fn publish(
    journal: &Journal,
    log: &InstallationLog,
    after: u64,
    time: Timestamp,
) -> Result<Option<Placed>, PublishError> {
    let head = journal.head()?;
    if head.size <= after {
        return Ok(None);
    }
    journal.barrier()?;
    let session = journal.header().session;
    let head = SessionHead { session, size: head.size, root: head.root, time, sealed: false };
    let (position, keys) = log.append_signed(&head)?;
    let origin = keys.verifier().session_origin(session);
    let checkpoint = Checkpoint { origin, size: head.size, root: head.root }.sign(&keys);
    let placed = Placed { head, position };
    let dir = journal.dir();
    let place = canonical::to_vec(&placed)?;
    durable::show(journal.disk(), &dir.join(LIVING_CHECKPOINT), &checkpoint)
        .and_then(|()| durable::show(journal.disk(), &dir.join(LIVING_PLACE), &place))
        .map_err(|source| PublishError::Io { path: dir.to_owned(), source })?;
    Ok(Some(placed))
}

/// Removes what was shown of a session that lived, once its sealed head is there.
pub(crate) fn forget(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in [LIVING_CHECKPOINT, LIVING_PLACE] {
        let path = dir.join(name);
        if path.exists() {
            disk.remove_file(&path)?;
        }
    }
    Ok(())
}
