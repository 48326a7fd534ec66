//! Where the newest head of a record stands in the installation log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::LIVING_PLACE;
use crate::installation::{LogPosition, SessionHead};
use crate::seal::{DsseError, Envelope, SEAL_FILE, Statement};
use crate::standing::{Standing, standing};
use crate::tlog::KeyError;

/// A head of a session's log, and its leaf in the installation log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The leaf.
    pub head: SessionHead,
    /// Its place.
    pub position: LogPosition,
}

/// Why a record does not say where its head stands.
#[derive(Debug, thiserror::Error)]
pub enum PlacedError {
    /// A file.
    #[error("{path} can't be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The attestation.
    #[error("the record's seal can't be read")]
    Seal(#[from] DsseError),
    /// The keys that decide whether a seal is genuine.
    #[error("the installation's keys can't be used")]
    Key(#[from] KeyError),
    /// A document.
    #[error("{path} does not say where the record's head is")]
    Document {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Where the newest head of the record in `dir` stands; `None` if it has none yet. No signature is checked and no log read:
/// that is for who believes it to do.
///
/// # Errors
/// [`PlacedError`].
pub fn placed(dir: &Path) -> Result<Option<Placed>, PlacedError> {
    if standing(dir)? == Standing::Journal
        && let Some((path, bytes)) = read(dir, LIVING_PLACE)?
    {
        let parsed = serde_json::from_slice(&bytes);
        return parsed.map(Some).map_err(|source| PlacedError::Document { path, source });
    }
    // Sealed, perhaps since a moment ago; or nothing is published yet.
    let Some((path, seal)) = read(dir, SEAL_FILE)? else { return Ok(None) };
    let payload = Envelope::parse(&seal)?.unverified()?;
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|source| PlacedError::Document { path, source })?;
    let said = statement.predicate;
    let head = SessionHead {
        session: said.session,
        size: said.log.size,
        root: said.log.root,
        time: said.closed,
        sealed: true,
    };
    Ok(said.installation_log.map(|position| Placed { head, position }))
}

fn read(dir: &Path, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>, PlacedError> {
    let path = dir.join(name);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some((path, bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PlacedError::Io { path, source }),
    }
}
