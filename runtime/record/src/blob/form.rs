//! The stored forms of a blob: one zstd frame, in the clear with its trailer, or sealed.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use custody_model::Digest;
use sha2::{Digest as _, Sha256};

use super::cipher::Sealing;
use super::{BLOB_NAME, BlobError};
use crate::vault::ContentKey;

/// Compression level: fast, for content that is mostly text.
const ZSTD_LEVEL: i32 = 3;

/// Largest zstd window that is accepted, as a power of two of bytes: 128 MiB.
const WINDOW_LOG_MAX: u32 = 27;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Why a file that decodes is refused all the same.
pub(super) const NOT_WRITTEN: &str = "the stored bytes are not those that were written";

/// Passes on what a zstd frame holds, and checks it against its digest.
pub(super) fn content(
    digest: &Digest,
    limit: u64,
    frame: &mut impl Read,
    take: &mut impl FnMut(&[u8]),
) -> Result<(), BlobError> {
    let damaged = |source| BlobError::Damaged { digest: *digest, source };
    let mut reader = zstd::Decoder::new(frame).map_err(damaged)?;
    reader.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    let (found, _) = hashed_chunks(&mut reader, |chunk, size| {
        if size > limit {
            return Err(BlobError::TooLarge { digest: *digest, limit });
        }
        take(chunk);
        Ok(())
    })
    .map_err(|failed| match failed {
        Failed::Read(source) => damaged(source),
        Failed::Take(error) => error,
    })?;
    if found == *digest { Ok(()) } else { Err(BlobError::Swapped(*digest, found)) }
}

/// Bytes of the frame at the end.
pub(super) const TRAILER_BYTES: usize = 8 + 32;

/// The frame at the end: the magic number of a skippable frame, its length, the digest of the stored bytes before.
pub(super) fn trailer(stored: Sha256) -> [u8; TRAILER_BYTES] {
    let mut bytes = [0; TRAILER_BYTES];
    bytes[..4].copy_from_slice(&0x184D_2A5C_u32.to_le_bytes());
    bytes[4..8].copy_from_slice(&32_u32.to_le_bytes());
    bytes[8..].copy_from_slice(&stored.finalize());
    bytes
}

/// SHA-256 of a file's bytes.
pub(crate) fn hashed(path: &Path) -> io::Result<Digest> {
    let mut file = Hashed { inner: File::open(path)?, hash: Sha256::new() };
    io::copy(&mut file, &mut io::sink())?;
    Ok(Digest::from_bytes(file.hash.finalize().into()))
}

/// Hashes what passes through.
pub(super) struct Hashed<T> {
    pub(super) inner: T,
    pub(super) hash: Sha256,
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

pub(super) fn compress(
    reader: &mut dyn Read,
    file: &mut dyn io::Write,
) -> io::Result<(Digest, u64)> {
    let stored = Hashed { inner: file, hash: Sha256::new() };
    let (Hashed { inner: file, hash: stored }, digest, size) = frame(reader, stored)?;
    file.write_all(&trailer(stored))?;
    Ok((digest, size))
}

pub(super) fn seal(
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
    let (digest, size) = hashed_chunks(reader, |chunk, _| encoder.write_all(chunk))
        .map_err(|(Failed::Read(error) | Failed::Take(error))| error)?;
    Ok((encoder.finish()?, digest, size))
}

/// Which side of a copy failed.
enum Failed<E> {
    Read(io::Error),
    Take(E),
}

/// Hands everything that a reader gives on, chunk by chunk, each with the size so far; the digest and size of it all.
fn hashed_chunks<E>(
    reader: &mut (impl Read + ?Sized),
    mut take: impl FnMut(&[u8], u64) -> Result<(), E>,
) -> Result<(Digest, u64), Failed<E>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size = 0_u64;
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok((Digest::from_bytes(hash.finalize().into()), size)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failed::Read(error)),
        };
        hash.update(&buffer[..read]);
        size += read as u64;
        take(&buffer[..read], size).map_err(Failed::Take)?;
    }
}
