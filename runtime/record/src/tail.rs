//! Following a record while it is written: what is new since the last look, across the seal.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::journal::frame::FrameReader;
use crate::journal::{FrameError, JOURNAL_FILE, JournalHeader};
use crate::reader::{ReadError, Reader};
use crate::standing::{Standing, session_of, standing};

/// A place in a record, from which new entries are read as they come.
///
/// It keeps the journal open, so that the seal, which removes the file, takes nothing away from it.
#[derive(Debug)]
pub struct Tail {
    dir: PathBuf,
    seq: u64,
    journal: Option<Place>,
}

#[derive(Debug)]
struct Place {
    file: File,
    /// Where the next whole frame begins.
    offset: u64,
    /// Entries before it.
    seq: u64,
}

/// What was new.
#[derive(Debug, Default)]
pub struct Fresh {
    /// The canonical bytes of the new entries, in order.
    pub entries: Vec<Vec<u8>>,
    /// Nothing follows: the record is sealed, and these are its last entries.
    pub end: bool,
}

impl Tail {
    /// Begins at event `seq` of the record in `dir`, which need not exist yet.
    #[must_use]
    pub fn new(dir: &Path, seq: u64) -> Self {
        Self { dir: dir.to_owned(), seq, journal: None }
    }

    /// The number of the next event.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Up to `limit` entries that came since the last call. Never waits.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&mut self, limit: usize) -> Result<Fresh, ReadError> {
        if self.journal.is_none() {
            match self.open()? {
                Some(place) => self.journal = Some(place),
                None => return self.read_sealed(limit),
            }
        }
        // Before the frames are read: what is written after that is read next time.
        let sealed = matches!(standing(&self.dir)?, Standing::Sealed(_));
        let (entries, at_end) = self.read_journal(limit)?;
        if self.journal.as_ref().is_some_and(|place| place.offset == 0) {
            // A file without a whole header is replaced by whoever closes the record.
            self.journal = None;
            return Ok(Fresh::default());
        }
        Ok(Fresh { end: sealed && at_end, entries })
    }

    /// The journal, at its first frame; `None` if the record is sealed or there is none yet.
    fn open(&self) -> Result<Option<Place>, ReadError> {
        if standing(&self.dir)? != Standing::Journal {
            return Ok(None);
        }
        let path = self.dir.join(JOURNAL_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadError::Io { path, source }),
        };
        Ok(Some(Place { file, offset: 0, seq: 0 }))
    }

    fn read_journal(&mut self, limit: usize) -> Result<(Vec<Vec<u8>>, bool), ReadError> {
        let Some(place) = &mut self.journal else { return Ok((Vec::new(), true)) };
        let path = self.dir.join(JOURNAL_FILE);
        let io = |source| ReadError::Io { path: path.clone(), source };
        let file = place.file.try_clone().map_err(io)?;
        let mut input = BufReader::with_capacity(64 << 10, file);
        input.seek(SeekFrom::Start(place.offset)).map_err(io)?;
        let mut frames = match place.offset {
            0 => match FrameReader::new(input) {
                Ok(frames) => frames,
                // Its first bytes are still being written.
                Err(FrameError::Cut { .. }) => return Ok((Vec::new(), true)),
                Err(error @ (FrameError::Damaged { .. } | FrameError::Io(_))) => {
                    return Err(error.into());
                }
            },
            offset => FrameReader::at(input, offset),
        };
        let mut entries = Vec::new();
        let mut header = place.offset == 0;
        while entries.len() < limit {
            match frames.next() {
                Ok(None) | Err(FrameError::Cut { .. }) => return Ok((entries, true)),
                Err(error @ (FrameError::Damaged { .. } | FrameError::Io(_))) => {
                    return Err(error.into());
                }
                Ok(Some(payload)) if header => {
                    header = false;
                    if let (Some(own), Some(found)) =
                        (session_of(&self.dir), JournalHeader::parse(payload))
                        && own != found.session
                    {
                        let (path, found) = (self.dir.clone(), found.session.to_string());
                        return Err(ReadError::Foreign { path, found });
                    }
                }
                Ok(Some(entry)) => {
                    if place.seq >= self.seq {
                        entries.push(entry.to_vec());
                        self.seq += 1;
                    }
                    place.seq += 1;
                }
            }
            place.offset = frames.offset();
        }
        Ok((entries, false))
    }

    fn read_sealed(&mut self, limit: usize) -> Result<Fresh, ReadError> {
        let reader = match Reader::open(&self.dir) {
            Ok(reader) => reader,
            Err(ReadError::NoRecord(_)) => return Ok(Fresh::default()),
            Err(error) => return Err(error),
        };
        let Some(size) = reader.sealed_size() else { return Ok(Fresh::default()) };
        let entries = reader.entries_from(self.seq)?;
        let entries = entries.take(limit).collect::<Result<Vec<_>, _>>()?;
        self.seq += entries.len() as u64;
        Ok(Fresh { entries, end: self.seq >= size })
    }
}
