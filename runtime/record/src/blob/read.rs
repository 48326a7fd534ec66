//! Reading blobs: whatever is read is checked against its digest, and every byte that is stored against its form.

use std::fs::File;
use std::io::{self, Read as _};

use custody_model::Digest;
use sha2::{Digest as _, Sha256};

use super::cipher::Opening;
use super::form::{Hashed, NOT_WRITTEN, TRAILER_BYTES, content, trailer};
use super::{BLOB_NAME, BlobError, Blobs};
use crate::erasure::Erasure;

impl Blobs {
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
}
