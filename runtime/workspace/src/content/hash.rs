//! Hashing a file once, by both names: SHA-256 for the record, and the id that git gives its blob.

use std::os::fd::{AsFd, BorrowedFd};

use custody_model::{Digest, GitOid};
use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};
use nix::sys::uio::pread;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Default size, in bytes, above which a file is recorded without a digest.
pub const MAX_HASHED_BYTES: u64 = 4 << 30;

/// Default size, in bytes, above which a file that still has a writer is recorded without a digest.
pub const MAX_OPEN_HASHED_BYTES: u64 = 16 << 20;

/// Default bytes that are hashed after the sandbox has ended, all files together: what a minute or two allow. A file with
/// holes is as large as it says and takes no room on disk.
pub const MAX_END_HASHED_BYTES: u64 = 32 << 30;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// How often a file that changes while it is read is read again.
const MAX_ATTEMPTS: u32 = 3;

/// How a repository names its objects (its `extensions.objectFormat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum GitHash {
    /// SHA-1, 40 hex digits.
    #[default]
    Sha1,
    /// SHA-256, 64 hex digits.
    Sha256,
}

impl GitHash {
    /// The id of a blob with this content: the hash of `blob`, its length in decimal, NUL and the content.
    #[must_use]
    pub fn blob_of(self, content: &[u8]) -> GitOid {
        let mut hasher = BlobHasher::new(self, content.len() as u64);
        hasher.update(content);
        hasher.finish()
    }
}

enum BlobHasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl BlobHasher {
    fn new(format: GitHash, size: u64) -> Self {
        let mut hasher = match format {
            GitHash::Sha1 => Self::Sha1(Sha1::new()),
            GitHash::Sha256 => Self::Sha256(Sha256::new()),
        };
        hasher.update(format!("blob {size}\0").as_bytes());
        hasher
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> GitOid {
        let hex = match self {
            Self::Sha1(hasher) => hex(&hasher.finalize()),
            Self::Sha256(hasher) => hex(&hasher.finalize()),
        };
        hex.parse().expect("the hex digits of a hash are an object id")
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        text.push(char::from(DIGITS[usize::from(b >> 4)]));
        text.push(char::from(DIGITS[usize::from(b & 15)]));
    }
    text
}

/// What changes when a file is written: the key under which its hash may be trusted, as long as it has neither a
/// writer nor a shared mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of an open file.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn of(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        Ok(Self::from(&fstat(file)?))
    }
}

impl From<&FileStat> for Stamp {
    fn from(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A hashed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Bytes.
    pub size: u64,
    /// Both names of the content; `None` if it is larger than the limit or kept changing while it was read.
    pub names: Option<(Digest, GitOid)>,
    /// The stamp that belongs to the content.
    pub stamp: Stamp,
}

/// Hashes an open file from its beginning, without moving its offset.
///
/// # Errors
/// Those of `fstat` and `pread`.
pub fn hash_file(file: BorrowedFd<'_>, format: GitHash, limit: u64) -> Result<Hashed, Errno> {
    let mut stat = fstat(file)?;
    let mut buffer = Vec::new();
    for _ in 0..MAX_ATTEMPTS {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let stamp = Stamp::from(&stat);
        if size > limit {
            return Ok(Hashed { size, names: None, stamp });
        }
        let wanted = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        buffer.resize(wanted.min(CHUNK_BYTES), 0);
        let names = hash_once(file, format, size, &mut buffer)?;
        stat = fstat(file)?;
        if let Some(names) = names
            && Stamp::from(&stat) == stamp
        {
            return Ok(Hashed { size, names: Some(names), stamp });
        }
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Ok(Hashed { size, names: None, stamp: Stamp::from(&stat) })
}

/// `None` if the file does not have `size` bytes.
fn hash_once(
    file: BorrowedFd<'_>,
    format: GitHash,
    size: u64,
    buffer: &mut [u8],
) -> Result<Option<(Digest, GitOid)>, Errno> {
    let mut sha256 = Sha256::new();
    let mut blob = BlobHasher::new(format, size);
    let mut at: u64 = 0;
    loop {
        let offset = i64::try_from(at).map_err(|_| Errno::EFBIG)?;
        match pread(file.as_fd(), buffer, offset) {
            Ok(0) => break,
            Ok(n) => {
                sha256.update(&buffer[..n]);
                blob.update(&buffer[..n]);
                at += n as u64;
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        if at > size {
            return Ok(None);
        }
    }
    Ok((at == size).then(|| (Digest::from_bytes(sha256.finalize().into()), blob.finish())))
}
