//! Reading a record: sealed tiles, or the journal of a session that lives; which of them counts is for `standing` to say.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::blob::Blobs;
use crate::event::{Event, EventError};
use crate::journal::frame::FrameReader;
use crate::journal::{FrameError, JOURNAL_FILE, JournalHeader};
use crate::standing::{CHECKPOINT_FILE, Standing, session_of, standing};
use crate::tlog::{
    BundleError, Checkpoint, CheckpointError, ENTRIES_PER_BUNDLE, KeyError, Note, NoteError,
    entries_of, entry_path,
};

/// Why a record can't be read. Damage is what `verify` explains.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither a journal nor a checkpoint.
    #[error("{0} holds no record")]
    NoRecord(PathBuf),
    /// A file.
    #[error("{path} can't be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The journal.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The journal's header.
    #[error("the journal {0} has no header")]
    Header(PathBuf),
    /// A journal lies beside what was sealed, and the keys that tell which of them is genuine can't be used.
    #[error(
        "the installation's keys can't be used, so it can't be decided whether the seal or the journal counts"
    )]
    Key(#[from] KeyError),
    /// It is another session's.
    #[error("{path} holds the record of another session ({found})")]
    Foreign {
        /// The record's directory.
        path: PathBuf,
        /// Whose it is, in words.
        found: String,
    },
    /// The checkpoint's note.
    #[error("the checkpoint is not a signed note")]
    Note(#[from] NoteError),
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A bundle.
    #[error("{path} is damaged")]
    Bundle {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: BundleError,
    },
    /// An event.
    #[error("event {seq} is damaged")]
    Event {
        /// Which.
        seq: u64,
        /// Why.
        #[source]
        source: EventError,
    },
}

#[derive(Debug)]
enum Source {
    Journal(PathBuf),
    /// With the size that the checkpoint says; its signature is not checked here.
    Tiles(u64),
}

/// A record, to read. It checks the form of what it reads, not whether it is genuine: that is `verify`.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    source: Source,
}

impl Reader {
    /// Opens the record in `dir`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open(dir: &Path) -> Result<Self, ReadError> {
        let source = match standing(dir)? {
            Standing::Absent => return Err(ReadError::NoRecord(dir.to_owned())),
            Standing::Journal => Source::Journal(dir.join(JOURNAL_FILE)),
            Standing::Sealed(Some(head)) => Source::Tiles(head.size),
            Standing::Sealed(None) => {
                let path = dir.join(CHECKPOINT_FILE);
                let bytes = fs::read(&path).map_err(|source| ReadError::Io { path, source })?;
                let head = Checkpoint::parse(Note::parse(&bytes)?.text())?;
                if let Some(session) = session_of(dir)
                    && !head.origin.ends_with(&format!("/session/{session}"))
                {
                    return Err(ReadError::Foreign { path: dir.to_owned(), found: head.origin });
                }
                Source::Tiles(head.size)
            }
        };
        Ok(Self { dir: dir.to_owned(), source })
    }

    /// Whether the record is closed and in its final form.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self.source, Source::Tiles(_))
    }

    /// Number of events of a sealed record; `None` while it is written.
    #[must_use]
    pub fn sealed_size(&self) -> Option<u64> {
        match self.source {
            Source::Journal(_) => None,
            Source::Tiles(size) => Some(size),
        }
    }

    /// The record's blobs.
    #[must_use]
    pub fn blobs(&self) -> Blobs {
        Blobs::open(&self.dir)
    }

    /// The canonical bytes of every event, in order. Of a journal that is being written: of those that are there
    /// whole; call again for more.
    ///
    /// # Errors
    /// [`ReadError`], also while iterating; it ends after an error.
    pub fn entries(&self) -> Result<Entries, ReadError> {
        let inner = match &self.source {
            Source::Journal(path) => match File::open(path) {
                Ok(file) => {
                    let mut frames = FrameReader::new(BufReader::with_capacity(256 << 10, file))?;
                    let header = frames.next()?.and_then(JournalHeader::parse);
                    let header = header.ok_or_else(|| ReadError::Header(path.clone()))?;
                    if let Some(session) = session_of(&self.dir)
                        && session != header.session
                    {
                        let (path, found) = (self.dir.clone(), header.session.to_string());
                        return Err(ReadError::Foreign { path, found });
                    }
                    Inner::Journal(Box::new(frames))
                }
                // Sealed since it was opened.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Self::open(&self.dir)?.entries();
                }
                Err(source) => {
                    return Err(ReadError::Io { path: path.clone(), source });
                }
            },
            Source::Tiles(size) => Inner::Tiles {
                dir: self.dir.clone(),
                size: *size,
                index: 0,
                ready: Vec::new().into_iter(),
            },
        };
        Ok(Entries { inner: Some(inner) })
    }

    /// As [`Reader::entries`], from event `seq` on. In a sealed record nothing before its bundle is read.
    ///
    /// # Errors
    /// [`ReadError`], also while iterating.
    pub fn entries_from(&self, seq: u64) -> Result<std::iter::Skip<Entries>, ReadError> {
        let mut entries = self.entries()?;
        let mut skip = seq;
        if let Some(Inner::Tiles { size, index, .. }) = &mut entries.inner {
            *index = seq.min(*size) / ENTRIES_PER_BUNDLE;
            skip = seq - *index * ENTRIES_PER_BUNDLE;
        }
        Ok(entries.skip(usize::try_from(skip).unwrap_or(usize::MAX)))
    }

    /// Every event, in order.
    ///
    /// # Errors
    /// As [`Reader::entries`].
    pub fn events(&self) -> Result<impl Iterator<Item = Result<Event, ReadError>>, ReadError> {
        let entries = self.entries()?;
        Ok((0..).zip(entries).map(|(seq, entry)| {
            Event::from_canonical(&entry?).map_err(|source| ReadError::Event { seq, source })
        }))
    }

    /// The canonical bytes of one event; `None` if there is none yet. In a sealed record it reads one bundle, in a
    /// journal everything before it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn entry(&self, seq: u64) -> Result<Option<Vec<u8>>, ReadError> {
        match self.source {
            Source::Journal(_) => {
                let skip = usize::try_from(seq).unwrap_or(usize::MAX);
                self.entries()?.nth(skip).transpose()
            }
            Source::Tiles(size) if seq >= size => Ok(None),
            Source::Tiles(size) => {
                let bundle = read_bundle(&self.dir, seq / ENTRIES_PER_BUNDLE, size)?;
                let at = usize::try_from(seq % ENTRIES_PER_BUNDLE).unwrap_or(usize::MAX);
                Ok(bundle.into_iter().nth(at))
            }
        }
    }

    /// One event; `None` if there is none yet.
    ///
    /// # Errors
    /// As [`Reader::entry`].
    pub fn get(&self, seq: u64) -> Result<Option<Event>, ReadError> {
        let entry = self.entry(seq)?;
        entry
            .map(|e| Event::from_canonical(&e).map_err(|source| ReadError::Event { seq, source }))
            .transpose()
    }
}

fn read_bundle(dir: &Path, index: u64, size: u64) -> Result<Vec<Vec<u8>>, ReadError> {
    let width = (size - index * ENTRIES_PER_BUNDLE).min(ENTRIES_PER_BUNDLE);
    let path = dir.join(entry_path(index, width));
    let bytes = fs::read(&path).map_err(|source| ReadError::Io { path: path.clone(), source })?;
    let (entries, whole) = entries_of(&bytes, width);
    whole.map_err(|source| ReadError::Bundle { path, source })?;
    Ok(entries.into_iter().map(|(_, entry)| entry.to_vec()).collect())
}

#[derive(Debug)]
enum Inner {
    Journal(Box<FrameReader<BufReader<File>>>),
    Tiles { dir: PathBuf, size: u64, index: u64, ready: std::vec::IntoIter<Vec<u8>> },
}

/// The canonical bytes of the events of a record, in order.
#[derive(Debug)]
pub struct Entries {
    inner: Option<Inner>,
}

impl Entries {
    fn read(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        match &mut self.inner {
            None => Ok(None),
            Some(Inner::Journal(frames)) => match frames.next() {
                Ok(payload) => Ok(payload.map(<[u8]>::to_vec)),
                // The frame at the end is still being written, or was torn.
                Err(FrameError::Cut { .. }) => Ok(None),
                Err(error @ (FrameError::Damaged { .. } | FrameError::Io(_))) => Err(error.into()),
            },
            Some(Inner::Tiles { dir, size, index, ready }) => {
                if let Some(entry) = ready.next() {
                    return Ok(Some(entry));
                }
                if *index * ENTRIES_PER_BUNDLE >= *size {
                    return Ok(None);
                }
                *ready = read_bundle(dir, *index, *size)?.into_iter();
                *index += 1;
                Ok(ready.next())
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Vec<u8>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read().transpose();
        if !matches!(read, Some(Ok(_))) {
            self.inner = None;
        }
        read
    }
}
