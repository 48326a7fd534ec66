//! Content that is too large for an event, by the SHA-256 of what it is.
//!
//! Sealed, `blobs/sealed/ab/<name>`: one zstd frame (RFC 8878) in the form `custody/sealed/v1` of [`cipher`], under the
//! session's [`ContentKey`]. The name is a keyed digest of the content's digest: without the key nobody can tell from what is
//! left whether the content was this or that. With the key the content is checked against the event's digest.
//!
//! In the clear, `blobs/sha256/ab/<hex>.zst`, as a record is handed out, and for what is no content but a part of the log:
//! one zstd frame, named by the content. A skippable frame at the end holds the SHA-256 of the stored bytes before it:
//! decoders pass over it, and no bit of the file is without meaning.

pub(crate) mod cipher;

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use custody_model::{Digest, Timestamp, UserName};
use sha2::{Digest as _, Sha256};

use crate::disk::{self, Disk};
use crate::durable::{self, NewFile};
use crate::erasure::Erasure;
use crate::event::BlobRef;
use crate::redact::{Mark, Redacting, Redactor};
use crate::vault::ContentKey;
use cipher::{Opening, Sealing};

/// Compression level: fast, for content that is mostly text.
const ZSTD_LEVEL: i32 = 3;

/// Largest content that [`Blobs::get`] returns in memory unless told otherwise, in bytes.
pub const DEFAULT_CONTENT_LIMIT: u64 = 256 << 20;

/// Largest zstd window that is accepted, as a power of two of bytes: 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;

/// Why a blob can't be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No such content.
    #[error("the blob {0} is missing")]
    Missing(Digest),
    /// It is sealed, or was, and the key is not there.
    #[error("the blob {0} is sealed, and its key is not here")]
    Locked(Digest),
    /// Its key was destroyed.
    #[error("the content of the blob {digest} was erased by {by} at {at}: {reason}")]
    Erased {
        /// Which.
        digest: Digest,
        /// By whom.
        by: UserName,
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// The stored bytes are not the content that their name says.
    #[error("the blob {0} holds other content: {1}")]
    Swapped(Digest, Digest),
    /// The stored bytes can't be decompressed.
    #[error("the blob {digest} can't be decompressed")]
    Damaged {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More content than the limit.
    #[error("the blob {digest} has more than {limit} bytes")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Bytes.
        limit: u64,
    },
    /// What a content was to be written to.
    #[error("the content can't be written where it is wanted")]
    Write(#[source] io::Error),
    /// Reading or writing a file.
    #[error("the blob store at {path} can't be used")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The blobs of one record. Cheap to clone; any number of threads may store at once.
#[derive(Clone, Debug)]
pub struct Blobs {
    disk: Arc<dyn Disk>,
    record: PathBuf,
    key: Option<ContentKey>,
    limit: u64,
    /// Of those that a session records.
    redactor: Option<Arc<Redactor>>,
    /// What was redacted of contents that no event names yet.
    redacted: Arc<Mutex<Vec<Redacted>>>,
}

/// What was redacted of one content.
#[derive(Clone, Debug)]
pub(crate) struct Redacted {
    pub(crate) blob: Digest,
    pub(crate) marks: Vec<Mark>,
    pub(crate) count: u64,
}

/// Name of the sealed blob's use of its key.
const BLOB_NAME: &[u8] = b"blob";

impl Blobs {
    /// The blobs in a record's directory, without a key: what is stored is in the clear, and what is sealed can't be read.
    /// Makes nothing before the first blob is stored.
    #[must_use]
    pub fn open(record: &Path) -> Self {
        Self::on(disk::real(), record)
    }

    /// As [`Blobs::open`], written through a file layer of the caller's.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>, record: &Path) -> Self {
        Self {
            disk,
            record: record.to_owned(),
            key: None,
            limit: DEFAULT_CONTENT_LIMIT,
            redactor: None,
            redacted: Arc::default(),
        }
    }

    /// With the key of the record's content, if there is one: what is stored from now on is sealed.
    #[must_use]
    pub fn with_key(self, key: Option<ContentKey>) -> Self {
        Self { key, ..self }
    }

    /// What is stored from now on passes this redactor first.
    pub(crate) fn with_redactor(self, redactor: Arc<Redactor>) -> Self {
        Self { redactor: Some(redactor), ..self }
    }

    /// What was redacted of the contents that an event names: told once.
    pub(crate) fn take_redacted(&self, blobs: &[BlobRef]) -> Vec<Redacted> {
        let mut redacted = self.redacted.lock().unwrap_or_else(PoisonError::into_inner);
        redacted.extract_if(.., |one| blobs.iter().any(|blob| blob.digest == one.blob)).collect()
    }

    /// Notes what was redacted of a content before it was given to [`Blobs::put_reader`].
    pub fn note_redacted(&self, blob: Digest, marks: Vec<Mark>, count: u64) {
        if count == 0 {
            return;
        }
        let mut redacted = self.redacted.lock().unwrap_or_else(PoisonError::into_inner);
        redacted.push(Redacted { blob, marks, count });
    }

    /// The same blobs, to store what is no content but a part of the log that had no room in an event.
    #[must_use]
    pub fn in_the_clear(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// With another limit for what [`Blobs::get`] returns, in bytes.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Removes what a dead process was storing. Nobody may store meanwhile.
    pub(crate) fn remove_unnamed(&self) {
        for root in [self.clear_root(), Self::sealed_root(&self.record)] {
            durable::remove_unnamed(&*self.disk, &root);
        }
    }

    /// The directory of sealed blobs in a record's.
    pub(crate) fn sealed_root(record: &Path) -> PathBuf {
        record.join("blobs/sealed")
    }

    fn clear_root(&self) -> PathBuf {
        self.record.join("blobs/sha256")
    }

    fn clear_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.clear_root().join(&hex[..2]).join(format!("{hex}.zst"))
    }

    fn sealed_path(&self, digest: &Digest) -> Option<PathBuf> {
        let name = self.key.as_ref()?.blob_name(digest);
        Some(Self::sealed_root(&self.record).join(&name[..2]).join(name))
    }

    /// Where a blob is stored, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let clear = self.clear_path(digest);
        match self.sealed_path(digest) {
            Some(sealed) if sealed.is_file() || !clear.is_file() => sealed,
            Some(_) | None => clear,
        }
    }

    /// Whether a blob is stored and can be read.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Stores bytes durably.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn put_bytes(
        &self,
        role: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<BlobRef, BlobError> {
        self.put_reader(role, media_type, &mut &*bytes)
    }

    /// Stores what a reader gives, durably and without holding it in memory.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn put_reader(
        &self,
        role: &str,
        media_type: &str,
        reader: &mut dyn Read,
    ) -> Result<BlobRef, BlobError> {
        let root = match self.key {
            Some(_) => Self::sealed_root(&self.record),
            None => self.clear_root(),
        };
        let io = |source| BlobError::Io { path: root.clone(), source };
        durable::make_dir(&*self.disk, &root).map_err(io)?;
        let mut file = NewFile::create(&*self.disk, &root).map_err(io)?;
        let mut store = |reader: &mut dyn Read| match &self.key {
            Some(key) => seal(reader, &mut file, key),
            None => compress(reader, &mut file),
        };
        let (digest, size) = match &self.redactor {
            Some(redactor) => {
                let mut clean = Redacting::new(reader, redactor);
                let stored = store(&mut clean).map_err(io)?;
                let (marks, count) = clean.finish();
                self.note_redacted(stored.0, marks, count);
                stored
            }
            None => store(reader).map_err(io)?,
        };
        let path = self.sealed_path(&digest).unwrap_or_else(|| self.clear_path(&digest));
        let blob =
            BlobRef { role: role.to_owned(), digest, size, media_type: media_type.to_owned() };
        let dir = path.parent().unwrap_or(&root);
        // What is there was renamed whole, but whoever did it may have failed to make the name durable.
        if path.is_file() {
            self.disk.sync_dir(dir).map_err(io)?;
            return Ok(blob);
        }
        durable::make_dir(&*self.disk, dir).map_err(io)?;
        file.persist(&path).map_err(io)?;
        Ok(blob)
    }

    /// The content, checked against its digest.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let mut content = Vec::new();
        self.read_checked(digest, self.limit, |chunk| content.extend_from_slice(chunk))?;
        Ok(content)
    }

    /// Checks a blob without holding it in memory and returns its size in bytes.
    ///
    /// # Errors
    /// [`BlobError`]; [`BlobError::TooLarge`] if the content is larger than `limit`.
    pub fn check(&self, digest: &Digest, limit: u64) -> Result<u64, BlobError> {
        let mut size = 0;
        self.read_checked(digest, limit, |chunk| size += chunk.len() as u64)?;
        Ok(size)
    }

    /// Writes the content to `out` and checks it meanwhile: after an error, what was written is not the content.
    ///
    /// # Errors
    /// [`BlobError`]; [`BlobError::Write`] for `out` itself.
    pub fn copy(
        &self,
        digest: &Digest,
        limit: u64,
        out: &mut dyn io::Write,
    ) -> Result<(), BlobError> {
        let mut written = Ok(());
        self.read_checked(digest, limit, |chunk| {
            if written.is_ok() {
                written = out.write_all(chunk);
            }
        })?;
        written.map_err(BlobError::Write)
    }

    /// A blob as a record that is handed out holds it: the bytes of its file in the clear. Checked.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn clear_form(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        self.check(digest, self.limit)?;
        let damaged = |source| BlobError::Damaged { digest: *digest, source };
        let path = self.path(digest);
        let mut file = File::open(&path).map_err(|source| self.unreadable(digest, source))?;
        let mut bytes = Vec::new();
        match (&self.key, self.sealed_path(digest)) {
            (Some(key), Some(sealed)) if sealed == path => {
                let mut frame = Opening::begin(file, &key.blobs(), BLOB_NAME).map_err(damaged)?;
                frame.read_to_end(&mut bytes).map_err(damaged)?;
                let end = trailer(Sha256::new_with_prefix(&bytes));
                bytes.extend_from_slice(&end);
            }
            (Some(_) | None, Some(_) | None) => {
                file.read_to_end(&mut bytes).map_err(damaged)?;
            }
        }
        Ok(bytes)
    }

    /// Why a blob's file can't be opened.
    fn unreadable(&self, digest: &Digest, source: io::Error) -> BlobError {
        if source.kind() != io::ErrorKind::NotFound {
            return BlobError::Io { path: self.path(digest), source };
        }
        if self.key.is_some() {
            return BlobError::Missing(*digest);
        }
        // Whether the note is genuine is for `verify` to say.
        match Erasure::read(&self.record) {
            Ok(Some(erasure)) => BlobError::Erased {
                digest: *digest,
                by: erasure.by,
                at: erasure.at,
                reason: erasure.reason,
            },
            Ok(None) | Err(_) if Self::sealed_root(&self.record).exists() => {
                BlobError::Locked(*digest)
            }
            Ok(None) | Err(_) => BlobError::Missing(*digest),
        }
    }

    fn read_checked(
        &self,
        digest: &Digest,
        limit: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), BlobError> {
        let damaged = |source| BlobError::Damaged { digest: *digest, source };
        let path = self.path(digest);
        let file = File::open(&path).map_err(|source| self.unreadable(digest, source))?;
        if let (Some(key), Some(sealed)) = (&self.key, self.sealed_path(digest))
            && sealed == path
        {
            let mut frame = Opening::begin(file, &key.blobs(), BLOB_NAME).map_err(damaged)?;
            content(digest, limit, &mut frame, &mut take)?;
            // What follows the frame must be authentic, too, and nothing.
            return match io::copy(&mut frame, &mut io::sink()).map_err(damaged)? {
                0 => Ok(()),
                _ => Err(damaged(io::Error::new(io::ErrorKind::InvalidData, NOT_WRITTEN))),
            };
        }
        let length = file.metadata().map_err(damaged)?.len().saturating_sub(TRAILER_BYTES as u64);
        let mut stored = Hashed { inner: file.take(length), hash: Sha256::new() };
        content(digest, limit, &mut stored, &mut take)?;
        io::copy(&mut stored, &mut io::sink()).map_err(damaged)?;
        let mut file = stored.inner.into_inner();
        let mut end = [0; TRAILER_BYTES];
        file.read_exact(&mut end).map_err(damaged)?;
        if end == trailer(stored.hash) {
            return Ok(());
        }
        Err(damaged(io::Error::new(io::ErrorKind::InvalidData, NOT_WRITTEN)))
    }

    /// Every file below `blobs`.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut left = vec![self.record.join("blobs")];
        while let Some(dir) = left.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    left.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        Ok(found)
    }

    /// Removes what is sealed, once its key is gone: it says nothing any more and takes up room. Returns the bytes.
    ///
    /// # Errors
    /// Those of the files.
    pub fn remove_sealed(record: &Path) -> io::Result<u64> {
        let root = Self::sealed_root(record);
        let mut bytes = 0;
        for path in Self::open(record).files()? {
            if path.starts_with(&root) {
                bytes += fs::metadata(&path)?.len();
                fs::remove_file(&path)?;
            }
        }
        Ok(bytes)
    }
}

/// Why a file that decodes is refused all the same.
const NOT_WRITTEN: &str = "the stored bytes are not those that were written";

/// Passes on what a zstd frame holds, and checks it against its digest.
fn content(
    digest: &Digest,
    limit: u64,
    frame: &mut impl Read,
    take: &mut impl FnMut(&[u8]),
) -> Result<(), BlobError> {
    let damaged = |source| BlobError::Damaged { digest: *digest, source };
    let mut reader = zstd::Decoder::new(frame).map_err(damaged)?;
    reader.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0_u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        size += read as u64;
        if size > limit {
            return Err(BlobError::TooLarge { digest: *digest, limit });
        }
        hash.update(&buffer[..read]);
        take(&buffer[..read]);
    }
    let found = Digest::from_bytes(hash.finalize().into());
    if found == *digest { Ok(()) } else { Err(BlobError::Swapped(*digest, found)) }
}

/// Bytes of the frame at the end.
const TRAILER_BYTES: usize = 8 + 32;

/// The frame at the end: the magic number of a skippable frame, its length, the digest of the stored bytes before.
fn trailer(stored: Sha256) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..4].copy_from_slice(&0x184D_2A5C_u32.to_le_bytes());
    bytes[4..8].copy_from_slice(&32_u32.to_le_bytes());
    bytes[8..].copy_from_slice(&stored.finalize());
    bytes
}

/// Hashes what passes through.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl<T: io::Write> io::Write for Hashed<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.hash.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn compress(reader: &mut dyn Read, file: &mut dyn io::Write) -> io::Result<(Digest, u64)> {
    let stored = Hashed { inner: file, hash: Sha256::new() };
    let (Hashed { inner: file, hash: stored }, digest, size) = frame(reader, stored)?;
    file.write_all(&trailer(stored))?;
    Ok((digest, size))
}

fn seal(
    reader: &mut dyn Read,
    file: &mut dyn io::Write,
    key: &ContentKey,
) -> io::Result<(Digest, u64)> {
    let sealing = Sealing::begin(file, &key.blobs(), BLOB_NAME)?;
    let (sealing, digest, size) = frame(reader, sealing)?;
    sealing.finish()?;
    Ok((digest, size))
}

/// Writes what a reader gives as one zstd frame.
fn frame<W: io::Write>(reader: &mut dyn Read, to: W) -> io::Result<(W, Digest, u64)> {
    let mut encoder = zstd::Encoder::new(to, ZSTD_LEVEL)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0_u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..read]);
        encoder.write_all(&buffer[..read])?;
        size += read as u64;
    }
    Ok((encoder.finish()?, Digest::from_bytes(hash.finalize().into()), size))
}
