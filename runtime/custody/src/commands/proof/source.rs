//! A log to prove from: of a server, or in a directory here.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};

use custody_api_client::LogName;
use custody_model::ErrorCode;
use custody_record::tlog::{
    Checkpoint, TileHashes, TilePath, leaf_hash, prove_consistency, prove_inclusion,
    verify_consistency, verify_inclusion,
};
use custody_record::{InstallationLog, LivingLog, Verifier};

use crate::commands::session;
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// What to do about a session whose log has no head.
const NOT_YET: &str = "a session's log is signed about a second after it began, and at least once a second from then on";

/// Where a log is.
pub enum Source {
    /// In a directory.
    Directory(PathBuf),
    /// Of a session that lives, in the directory of its record.
    Living(PathBuf, Box<RefCell<LivingLog>>),
    /// At a server.
    Server(Box<Connection>, LogName),
}

/// A log's head, as it is signed.
pub struct Head {
    /// The note, byte for byte.
    pub note: Vec<u8>,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// An entry and its proof.
pub struct Entry {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Hashes, the leaf's sibling first.
    pub proof: Vec<custody_model::Digest>,
}

impl Source {
    /// The log that a text means.
    pub fn open(wire: &Wire, text: &str) -> Result<Self, Failure> {
        if Path::new(text).is_dir() {
            let living = LivingLog::open(Path::new(text));
            let living = living.explain(ErrorCode::Io, format!("{text} can't be read"))?;
            return Ok(match living {
                Some(living) => Self::Living(text.into(), Box::new(RefCell::new(living))),
                None => Self::Directory(text.into()),
            });
        }
        let server = Connection::open(wire)?;
        let log = match text {
            "installation" => LogName::Installation,
            "control" => LogName::Control,
            text => LogName::Session(session::named(&server, text)?.id),
        };
        Ok(Self::Server(Box::new(server), log))
    }

    /// The head that others are shown. With a key it has to be signed with it.
    pub fn head(&self, key: Option<&Verifier>) -> Result<Head, Failure> {
        let note =
            match self {
                Self::Directory(dir) => InstallationLog::published(dir)
                    .explain(ErrorCode::Io, "the log's checkpoint can't be read")?
                    .ok_or_else(|| {
                        let message = format!("{} is no log, or one without a head", dir.display());
                        Failure::new(ErrorCode::NotFound, message)
                    })?,
                Self::Living(dir, _) => LivingLog::head(dir)
                    .explain(ErrorCode::Io, "the log's checkpoint can't be read")?
                    .ok_or_else(|| {
                        let message = format!("the log in {} has no head yet", dir.display());
                        Failure::new(ErrorCode::NotFound, message).hint(NOT_YET)
                    })?,
                Self::Server(server, log) => server
                    .wait(server.client().checkpoint(*log))
                    .map_err(|failure| match failure.code {
                        ErrorCode::NotFound => failure.hint(NOT_YET),
                        _ => failure,
                    })?,
            };
        Head::signed(note, key)
    }

    fn read(&self, tile: &TilePath) -> io::Result<Vec<u8>> {
        match self {
            Self::Directory(dir) => {
                tile.read(dir)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            }
            Self::Living(dir, log) => {
                let head = LivingLog::head(dir).map_err(io::Error::other)?.unwrap_or_default();
                let size = Checkpoint::peek(&head).map_err(io::Error::other)?.size;
                let read = log.borrow_mut().read(tile, size).map_err(io::Error::other)?;
                read.ok_or_else(|| io::ErrorKind::NotFound.into())
            }
            Self::Server(server, log) => {
                let read = server.block_on(server.client().tile(*log, tile));
                read.map_err(|error| match error.code() {
                    ErrorCode::NotFound => io::Error::new(io::ErrorKind::NotFound, error),
                    _ => io::Error::other(error),
                })
            }
        }
    }

    /// The tree of the first `size` entries.
    pub fn tree(&self, size: u64) -> TileHashes<'_> {
        TileHashes::by(size, |tile| self.read(tile))
    }

    /// An entry under a head, with its proof, which is checked.
    pub fn entry(&self, seq: u64, head: &Checkpoint) -> Result<Entry, Failure> {
        let Some((tile, place)) = TilePath::of_entry(seq, head.size) else {
            let message = format!("there is no entry {seq} under the log's head of {}", head.size);
            return Err(Failure::new(ErrorCode::NotFound, message));
        };
        let bundle = self.read(&tile).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => self.read(&tile.full()),
            _ => Err(error),
        });
        let bundle = bundle.explain(ErrorCode::Io, format!("{} can't be read", tile.path()))?;
        let damaged = format!("{} is damaged", tile.path());
        let bytes = TilePath::entry(&bundle, place)
            .ok_or_else(|| Failure::new(ErrorCode::VerificationFailed, damaged))?
            .to_vec();
        let proof = prove_inclusion(&self.tree(head.size), seq, head.size)
            .explain(ErrorCode::Io, "the log's tiles give no proof")?;
        verify_inclusion(leaf_hash(&bytes), seq, head.size, head.root, &proof)
            .explain(ErrorCode::VerificationFailed, "the log does not prove what it holds")?;
        Ok(Entry { bytes, proof })
    }

    /// The proof that the head goes on from an older tree, which is checked if the older root is known.
    pub fn consistency(
        &self,
        old: u64,
        root: Option<custody_model::Digest>,
        head: &Checkpoint,
    ) -> Result<Vec<custody_model::Digest>, Failure> {
        if old > head.size {
            let message = format!("the log has {} entries, and the older head {old}", head.size);
            return Err(Failure::new(ErrorCode::VerificationFailed, message)
                .hint("entries were taken back, or the heads were confused"));
        }
        let proof = prove_consistency(&self.tree(head.size), old, head.size)
            .explain(ErrorCode::Io, "the log's tiles give no proof")?;
        if let Some(root) = root.filter(|_| old > 0) {
            verify_consistency((old, root), (head.size, head.root), &proof).explain(
                ErrorCode::VerificationFailed,
                "the log was forked: it does not go on from the older head",
            )?;
        }
        Ok(proof)
    }
}

impl Head {
    /// A note that is a head; with a key it has to be signed with it.
    pub fn signed(note: Vec<u8>, key: Option<&Verifier>) -> Result<Self, Failure> {
        let wrong = "the checkpoint is not believed";
        let checkpoint = Checkpoint::peek(&note).explain(ErrorCode::VerificationFailed, wrong)?;
        if let Some(key) = key {
            Checkpoint::open(&note, &checkpoint.origin, key)
                .explain(ErrorCode::VerificationFailed, wrong)?;
        }
        Ok(Self { note, checkpoint })
    }
}
