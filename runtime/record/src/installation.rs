//! The installation log: one log whose leaves are the heads of the sessions' logs.
//!
//! What no session's log can show by itself, that it was cut or replaced as a whole, shows against this one. Several
//! keepers append to it, one at a time, under a file lock. Same tiles and checkpoints as a session's log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::{Digest, SessionId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::disk::{self, Disk};
use crate::tlog::{
    Anchor, Checkpoint, CheckpointError, ExtendError, Frontier, Keys, LogLock, SignedLog, Verifier,
    entries_of, entry_path, widths,
};
use crate::witness::COSIGNED_FILE;

/// Why the installation log can't be appended to or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or directory.
    #[error("the installation log in {path} can't be used")]
    Io {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be extended.
    #[error("the installation log can't be extended")]
    Extend(#[from] ExtendError),
    /// Its head.
    #[error("the checkpoint of the installation log is not this installation's")]
    Checkpoint(#[from] CheckpointError),
    /// Its tiles.
    #[error("the tiles of the installation log do not give the root of its checkpoint")]
    Root,
    /// A bundle.
    #[error("the bundle {0} of the installation log is damaged")]
    Bundle(String),
    /// It is shorter than its anchor says, or another log.
    #[error("the installation log is not what {anchor} says: {what}")]
    Anchor {
        /// The anchor.
        anchor: PathBuf,
        /// What differs, in words.
        what: String,
    },
    /// A leaf.
    #[error("leaf {0} of the installation log is no session head")]
    Leaf(u64),
    /// A head that has no canonical form.
    #[error("the session head can't be written")]
    Encode(#[from] CanonicalError),
}

/// A leaf: the head of a session's log at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionHead {
    /// Which session.
    pub session: SessionId,
    /// Number of its events.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
    /// When.
    pub time: Timestamp,
    /// It is the last head: the record is closed.
    pub sealed: bool,
}

/// Where a leaf stands, and the head of the log that has it as its last leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogPosition {
    /// The log.
    pub origin: String,
    /// Index of the leaf.
    pub index: u64,
    /// Size of the log with it.
    pub size: u64,
    /// RFC 6962 root with it.
    pub root: Digest,
}

/// The installation log, to append to. Cheap to open; the lock is held during an append alone.
#[derive(Debug)]
pub struct InstallationLog(SignedLog);

impl InstallationLog {
    /// Opens the log in `dir`, which is made if it is absent.
    ///
    /// # Errors
    /// [`LogError::Extend`].
    pub fn open(dir: &Path, keys: &Keys) -> Result<Self, LogError> {
        Self::open_on(disk::real(), dir, keys)
    }

    /// As [`InstallationLog::open`], written through a file layer of the caller's.
    ///
    /// # Errors
    /// [`LogError::Extend`].
    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, keys: &Keys) -> Result<Self, LogError> {
        Ok(Self(SignedLog::open(disk, dir, keys.verifier().log_origin(), keys)?))
    }

    /// Appends a session's head, durably, and signs the log's new head. To be called at a session's start, at most
    /// once a second while its head changes, and at its seal.
    ///
    /// # Errors
    /// [`LogError`]; nothing was appended then that a later append would not replace.
    pub fn append(&self, head: &SessionHead) -> Result<LogPosition, LogError> {
        Ok(self.append_signed(head)?.0)
    }

    /// The same, with the keys that signed the new head: the seal that names the position has to be theirs, too.
    pub(crate) fn append_signed(
        &self,
        head: &SessionHead,
    ) -> Result<(LogPosition, Keys), LogError> {
        let leaf = canonical::to_vec(head)?;
        let lock = self.0.lock()?;
        let keys = self.0.keys()?;
        self.check_anchor(self.0.head()?.as_ref())?;
        let Checkpoint { origin, size, root } = self.0.extend(&lock, [leaf.as_slice()])?;
        self.0.set_anchor(&lock, size, root);
        Ok((LogPosition { origin, index: size - 1, size, root }, keys))
    }

    /// Whether the log can be appended to: its head, its tiles, its anchor and what witnesses cosigned belong together. To be
    /// asked before anything is begun whose end has to be in the log.
    ///
    /// # Errors
    /// [`LogError::Extend`]: why not, and what to do.
    pub fn check(&self) -> Result<(), LogError> {
        let _lock = self.0.lock()?;
        let head = self.0.head()?;
        self.check_anchor(head.as_ref())?;
        let frontier = self.0.frontier(head.as_ref(), 1)?;
        if let Some((known, by)) = self.0.cosigned()? {
            let root_at = |size| (size == frontier.size()).then(|| frontier.root());
            self.0.held_against(&known, &by, frontier.size(), root_at)?;
        }
        Ok(())
    }

    fn check_anchor(&self, head: Option<&Checkpoint>) -> Result<(), LogError> {
        let by = Anchor::path(self.0.dir());
        match (self.0.anchor()?, head) {
            (Anchor::Absent | Anchor::Damaged(_), Some(_)) | (Anchor::Absent, None) => {}
            (Anchor::Head(known), Some(head)) => {
                let root_at = |size| (size == head.size).then_some(head.root);
                self.0.held_against(&known, &by, head.size, root_at)?;
            }
            (Anchor::Head(Checkpoint { size: 1.., .. }) | Anchor::Damaged(_), None) => {
                let trace = format!("{} stands beside it", by.display());
                let path = self.0.dir().to_owned();
                return Err(ExtendError::HeadMissing { path, trace }.into());
            }
            (Anchor::Head(_), None) => {}
        }
        Ok(())
    }

    /// Name of the installation.
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn signed(&self) -> &SignedLog {
        &self.0
    }
}

impl InstallationLog {
    /// The head that others are shown: the newest that the witnesses' quorum cosigned, or the newest where there are no
    /// witnesses. `None` if there is none yet.
    ///
    /// # Errors
    /// Those of reading.
    pub fn published(dir: &Path) -> io::Result<Option<Vec<u8>>> {
        for name in [COSIGNED_FILE, "checkpoint"] {
            match fs::read(dir.join(name)) {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// The installation log as a verifier sees it: every leaf, and the root after any of them.
#[derive(Debug)]
pub struct InstallationLeaves {
    /// The log's head.
    pub checkpoint: Checkpoint,
    /// The leaves in order.
    pub leaves: Vec<SessionHead>,
    roots: Vec<(u64, Digest)>,
}

impl InstallationLeaves {
    /// Reads the whole log and checks its checkpoint, its root, that every leaf is canonical, and that it goes on from its
    /// anchor, if it has one that is genuine.
    /// `wanted`: sizes whose roots are kept for [`InstallationLeaves::root_at`].
    ///
    /// # Errors
    /// [`LogError`].
    pub fn read(dir: &Path, verifier: &Verifier, wanted: &[u64]) -> Result<Self, LogError> {
        let io = |source| LogError::Io { path: dir.to_owned(), source };
        // Before the log: it goes on meanwhile.
        let anchor = match Anchor::read(dir, &verifier.log_origin(), verifier).map_err(io)? {
            Anchor::Head(head) => Some(head),
            Anchor::Absent | Anchor::Damaged(_) => None,
        };
        let wanted: Vec<u64> =
            wanted.iter().copied().chain(anchor.iter().map(|anchor| anchor.size)).collect();
        let log = Self::read_at_rest(dir, verifier, &wanted)?;
        match anchor {
            Some(anchor) => log.goes_on_from(&anchor, &Anchor::path(dir)),
            None => Ok(log),
        }
    }

    fn goes_on_from(self, known: &Checkpoint, by: &Path) -> Result<Self, LogError> {
        let what = if known.size > self.checkpoint.size {
            format!("it has {} heads, and had {}", self.checkpoint.size, known.size)
        } else if known.size > 0 && self.root_at(known.size) != Some(known.root) {
            format!("its first {} heads are others", known.size)
        } else {
            return Ok(self);
        };
        Err(LogError::Anchor { anchor: by.to_owned(), what })
    }

    fn read_at_rest(dir: &Path, verifier: &Verifier, wanted: &[u64]) -> Result<Self, LogError> {
        let read = || {
            let bytes = fs::read(dir.join("checkpoint"))
                .map_err(|source| LogError::Io { path: dir.to_owned(), source })?;
            let checkpoint = Checkpoint::open(&bytes, &verifier.log_origin(), verifier)?;
            Self::read_at(dir, checkpoint, wanted)
        };
        match read() {
            // A keeper may append: the first head is not there yet, or partial tiles of the head that was read are gone.
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let _at_rest = LogLock::shared(dir);
                read()
            }
            other => other,
        }
    }

    fn read_at(dir: &Path, checkpoint: Checkpoint, wanted: &[u64]) -> Result<Self, LogError> {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        let mut roots = Vec::new();
        for (index, width) in widths(0, checkpoint.size) {
            let path = entry_path(index, width);
            let bundle = fs::read(dir.join(&path))
                .map_err(|source| LogError::Io { path: dir.to_owned(), source })?;
            let (entries, whole) = entries_of(&bundle, width);
            whole.map_err(|_| LogError::Bundle(path))?;
            for (_, entry) in entries {
                let head: SessionHead =
                    serde_json::from_slice(entry).map_err(|_| LogError::Leaf(frontier.size()))?;
                if canonical::to_vec(&head)? != entry {
                    return Err(LogError::Leaf(frontier.size()));
                }
                leaves.push(head);
                frontier.push(crate::tlog::leaf_hash(entry));
                if wanted.contains(&frontier.size()) {
                    roots.push((frontier.size(), frontier.root()));
                }
            }
        }
        if frontier.root() != checkpoint.root {
            return Err(LogError::Root);
        }
        Ok(Self { checkpoint, leaves, roots })
    }

    /// Paths of the log's hash tiles, below its directory, that are missing or do not fit the leaves.
    ///
    /// # Errors
    /// [`CanonicalError`].
    pub fn damaged_tiles(&self, dir: &Path) -> Result<Vec<String>, CanonicalError> {
        let leaves = self.leaves.iter();
        let leaves: Result<Vec<Digest>, CanonicalError> =
            leaves.map(|head| Ok(crate::tlog::leaf_hash(&canonical::to_vec(head)?))).collect();
        Ok(crate::tlog::damaged_tiles(dir, leaves?))
    }

    /// The root when the log had `size` leaves, if that size was wanted and reached.
    #[must_use]
    pub fn root_at(&self, size: u64) -> Option<Digest> {
        self.roots.iter().find(|(at, _)| *at == size).map(|(_, root)| *root)
    }
}
