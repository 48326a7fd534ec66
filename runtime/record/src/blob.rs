//! Content that is too large for an event, by the SHA-256 of what it is: `blobs/sha256/ab/<hex>.zst`.
//!
//! Stored as one zstd frame (RFC 8878) and named, sized and checked by the content. A skippable frame at the end
//! holds the SHA-256 of the stored bytes before it: decoders pass over it, and no bit of the file is without meaning.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::disk::{self, Disk};
use crate::durable::{self, NewFile};
use crate::event::BlobRef;

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
    root: PathBuf,
    limit: u64,
}

impl Blobs {
    /// The blobs in a record's directory. Makes nothing before the first blob is stored.
    #[must_use]
    pub fn open(record: &Path) -> Self {
        Self::on(disk::real(), record)
    }

    /// As [`Blobs::open`], written through a file layer of the caller's.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>, record: &Path) -> Self {
        Self { disk, root: record.join("blobs/sha256"), limit: DEFAULT_CONTENT_LIMIT }
    }

    /// With another limit for what [`Blobs::get`] returns, in bytes.
    #[must_use]
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit, ..self }
    }

    /// Where a blob is stored.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join(&hex[..2]).join(format!("{hex}.zst"))
    }

    /// Whether a blob is stored.
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
        let io = |source| BlobError::Io { path: self.root.clone(), source };
        durable::make_dir(&*self.disk, &self.root).map_err(io)?;
        let mut file = NewFile::create(&*self.disk, &self.root).map_err(io)?;
        let (digest, size) = compress(reader, &mut file).map_err(io)?;
        let path = self.path(&digest);
        let blob =
            BlobRef { role: role.to_owned(), digest, size, media_type: media_type.to_owned() };
        let dir = path.parent().unwrap_or(&self.root);
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

    fn read_checked(
        &self,
        digest: &Digest,
        limit: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), BlobError> {
        let damaged = |source| BlobError::Damaged { digest: *digest, source };
        let path = self.path(digest);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BlobError::Missing(*digest),
            _ => BlobError::Io { path: path.clone(), source },
        })?;
        let length = file.metadata().map_err(damaged)?.len().saturating_sub(TRAILER_BYTES as u64);
        let mut stored = Hashed { inner: file.take(length), hash: Sha256::new() };
        let mut reader = zstd::Decoder::new(&mut stored).map_err(damaged)?;
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
        drop(reader);
        let found = Digest::from_bytes(hash.finalize().into());
        if found != *digest {
            return Err(BlobError::Swapped(*digest, found));
        }
        io::copy(&mut stored, &mut io::sink()).map_err(damaged)?;
        let mut file = stored.inner.into_inner();
        let mut end = [0; TRAILER_BYTES];
        file.read_exact(&mut end).map_err(damaged)?;
        if end == trailer(stored.hash) {
            return Ok(());
        }
        let reason = "the stored bytes are not those that were written";
        Err(damaged(io::Error::new(io::ErrorKind::InvalidData, reason)))
    }

    /// Every file of the store: the digest that its name says, or the path of a file that is no blob.
    pub(crate) fn list(&self) -> io::Result<Vec<Result<Digest, PathBuf>>> {
        let mut found = Vec::new();
        if !self.root.exists() {
            return Ok(found);
        }
        for dir in fs::read_dir(&self.root)? {
            let dir = dir?.path();
            if !dir.is_dir() {
                found.push(Err(dir));
                continue;
            }
            for file in fs::read_dir(&dir)? {
                let path = file?.path();
                let hex =
                    path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".zst"));
                let digest = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
                found.push(digest.filter(|d| self.path(d) == path).ok_or(path));
            }
        }
        Ok(found)
    }
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
    let mut encoder = zstd::Encoder::new(stored, ZSTD_LEVEL)?;
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
    let Hashed { inner: file, hash: stored } = encoder.finish()?;
    file.write_all(&trailer(stored))?;
    Ok((Digest::from_bytes(hash.finalize().into()), size))
}
