//! The diff of a session, on its way from git to the blobs of the record: never whole in memory.

use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;

use custody_model::GitOid;
use custody_record::Blobs;
use custody_record::event::BlobRef;

use super::OutputError;
use crate::git::Git;

/// What stands at the beginning of the first line of each file's part. No line of content begins so: those of text
/// have a mark before them, and those of git's binary patches hold no space.
const FILE_HEADER: &[u8] = b"diff --git ";

/// Role of the blob that holds a whole diff.
pub const WHOLE_DIFF: &str = "diff";
/// Role of the blob that holds the beginning of one that is larger than the limit.
pub const CUT_DIFF: &str = "diff_cut";

const MEDIA_TYPE: &str = "text/x-diff";

/// The diff of a session, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Git's unified diff (binary files included), or its beginning; absent if already its first file's part is larger
    /// than the limit.
    pub blob: Option<BlobRef>,
    /// What is missing, in words, if it is larger than the limit.
    pub cut: Option<String>,
}

/// Stores the diff from one tree to another, of `commit`. One that is larger than `limit` bytes is cut where a file's part ends.
pub(super) fn store(
    git: &Git,
    (before, after): (&GitOid, &GitOid),
    commit: &GitOid,
    limit: u64,
    blobs: &Blobs,
) -> Result<Diff, OutputError> {
    let options = ["diff", "--binary", "--full-index", "--no-ext-diff", "--no-textconv"];
    let words = [&options[..], &[before.as_str(), after.as_str()]].concat();
    let (stored, parts) = git.stream_until(&words, |output| {
        let mut parts = Parts { inner: output, limit, read: 0, at: Some(0), files: 0, whole: 0 };
        let stored = blobs.put_reader(WHOLE_DIFF, MEDIA_TYPE, &mut parts);
        let found = (stored, (parts.read, parts.files, parts.whole));
        Ok(match found.0 {
            Ok(_) => ControlFlow::Continue(found),
            Err(_) => ControlFlow::Break(found),
        })
    })?;
    let (read, files, whole) = parts;
    if read <= limit {
        return Ok(Diff { blob: Some(stored?), cut: None });
    }
    // The same again, up to where the last whole part ends: git says the same of the same commits.
    let blob = match whole {
        0 => None,
        _ => Some(git.stream_until(&words, |output| {
            let mut beginning = output.take(whole);
            Ok(ControlFlow::Break(blobs.put_reader(CUT_DIFF, MEDIA_TYPE, &mut beginning)))
        })??),
    };
    let kept = match files.saturating_sub(1) {
        0 => "nothing of it".to_owned(),
        1 => "the part of its first file".to_owned(),
        files => format!("the parts of its first {files} files"),
    };
    let cut = format!(
        "the diff of commit {} is larger than {limit} bytes: the record holds {kept} (the branch has all)",
        commit.short()
    );
    Ok(Diff { blob, cut: Some(cut) })
}

/// Passes a diff on until it is larger than the limit, and knows where its parts begin.
struct Parts<'a> {
    inner: &'a mut dyn BufRead,
    limit: u64,
    read: u64,
    /// How much of [`FILE_HEADER`] this line has begun with; `None` if it begins with something else.
    at: Option<usize>,
    /// Parts that have begun.
    files: u64,
    /// Where the last of them begins: what is before it is whole.
    whole: u64,
}

impl Parts<'_> {
    fn look(&mut self, bytes: &[u8]) {
        for (offset, byte) in (self.read..).zip(bytes) {
            self.at = match (self.at, byte) {
                (_, b'\n') => Some(0),
                (Some(at), byte) if FILE_HEADER.get(at) == Some(byte) => Some(at + 1),
                (Some(_) | None, _) => None,
            };
            let begins = (offset + 1).saturating_sub(FILE_HEADER.len() as u64);
            if self.at == Some(FILE_HEADER.len()) && begins <= self.limit {
                self.files += 1;
                self.whole = begins;
            }
        }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.look(&buffer[..read]);
        self.read += read as u64;
        if self.read > self.limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the diff is above its limit"));
        }
        Ok(read)
    }
}
