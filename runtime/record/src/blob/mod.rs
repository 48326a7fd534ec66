//! Content that is too large for an event, by the SHA-256 of what it is.
//!
//! Sealed, `blobs/sealed/ab/<name>`: one zstd frame (RFC 8878) in the form `custody/sealed/v1` of [`cipher`], under the
//! session's [`ContentKey`]. The name is a keyed digest of the content's digest: without the key nobody can tell from the name
//! what the content was. With the key the content is checked against the event's digest; without it the file is checked against
//! what the event says of it ([`StoredBlob`]). So a sealed file is never replaced: the first one that has a name keeps it.
//!
//! In the clear, `blobs/sha256/ab/<hex>.zst`, as a record is handed out, and for what is no content but a part of the log:
//! one zstd frame, named by the content. A skippable frame at the end holds the SHA-256 of the stored bytes before it:
//! decoders pass over it, and no bit of the file is without meaning.

pub(crate) mod cipher;
mod error;
mod form;
mod read;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use custody_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::disk::{self, Disk};
use crate::durable::{self, NewFile};
use crate::event::{BlobRef, SealedName, StoredBlob};
use crate::redact::{Mark, Redacting, Redactor};
use crate::vault::ContentKey;
pub use error::BlobError;
pub(crate) use form::hashed;
use form::{Hashed, compress, seal};

/// Largest content that [`Blobs::get`] returns in memory unless told otherwise, in bytes.
pub const DEFAULT_CONTENT_LIMIT: u64 = 256 << 20;

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
        // A content that is stored again, because the disk refused it before, is told once.
        if !redacted.iter().any(|one| one.blob == blob && one.marks == marks && one.count == count)
        {
            redacted.push(Redacted { blob, marks, count });
        }
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

    /// Whether a record has contents that are sealed with its session's key.
    #[must_use]
    pub fn has_sealed(record: &Path) -> bool {
        Self::sealed_root(record).exists()
    }

    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
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
        Some(Self::path_of_sealed(&self.record, &name))
    }

    /// Where the sealed file of this name is in a record's directory.
    pub(crate) fn path_of_sealed(record: &Path, name: &SealedName) -> PathBuf {
        let name = name.as_str();
        Self::sealed_root(record).join(&name[..2]).join(name)
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
        self.put(role, media_type, reader, self.redactor.as_deref())
    }

    /// As [`Blobs::put_reader`], of what was redacted as it was written: a second look at its format could take a part of that for
    /// a part of a secret.
    ///
    /// # Errors
    /// [`BlobError::Io`].
    pub fn put_redacted(
        &self,
        role: &str,
        media_type: &str,
        reader: &mut dyn Read,
    ) -> Result<BlobRef, BlobError> {
        self.put(role, media_type, reader, None)
    }

    fn put(
        &self,
        role: &str,
        media_type: &str,
        reader: &mut dyn Read,
        redactor: Option<&Redactor>,
    ) -> Result<BlobRef, BlobError> {
        let root = match self.key {
            Some(_) => Self::sealed_root(&self.record),
            None => self.clear_root(),
        };
        let io = |source| BlobError::Io { path: root.clone(), source };
        durable::make_dir(&*self.disk, &root).map_err(io)?;
        let file = NewFile::create(&*self.disk, &root).map_err(io)?;
        let mut file = Hashed { inner: file, hash: Sha256::new() };
        let mut store = |reader: &mut dyn Read| match &self.key {
            Some(key) => seal(reader, &mut file, key),
            None => compress(reader, &mut file),
        };
        let (digest, size) = match redactor {
            Some(redactor) => {
                let mut clean = Redacting::new(reader, redactor);
                let stored = store(&mut clean).map_err(io)?;
                let (marks, count) = clean.finish();
                self.note_redacted(stored.0, marks, count);
                stored
            }
            None => store(reader).map_err(io)?,
        };
        let stored = self.place(&digest, file).map_err(io)?;
        let (role, media_type) = (role.to_owned(), media_type.to_owned());
        Ok(BlobRef { role, digest, size, media_type, stored })
    }

    /// Gives a file its name, durably, unless there is one of that content already; what an event says of a sealed one.
    fn place(&self, digest: &Digest, file: Hashed<NewFile<'_>>) -> io::Result<Option<StoredBlob>> {
        let name = self.key.as_ref().map(|key| key.blob_name(digest));
        let path = match &name {
            Some(name) => Self::path_of_sealed(&self.record, name),
            None => self.clear_path(digest),
        };
        let dir = path.parent().unwrap_or(&self.record);
        durable::make_dir(&*self.disk, dir)?;
        let Hashed { inner: file, hash } = file;
        let written = file.persist_new(&path)?;
        let Some(name) = name else { return Ok(None) };
        let digest = match written {
            true => Digest::from_bytes(hash.finalize().into()),
            // Events that were recorded before name that one.
            false => hashed(&path)?,
        };
        Ok(Some(StoredBlob { digest, name }))
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
