//! The diff of a session, on its way from git to the blobs of the record: never whole in memory.

use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::ops::ControlFlow;
use std::path::Path;

use custody_model::{GitOid, WorkspacePath};
use custody_record::Blobs;
use custody_record::event::BlobRef;

use super::{OutputError, OutputLimits, size};
use crate::gate::{self, Change, LINK_MODE};
use crate::git::{Git, GitError};
use crate::worktree;

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
    /// Git's unified diff, or its beginning; absent if already its first file's part is larger than the limit. Small binary
    /// files are in it with their content; of larger ones it names both objects.
    pub blob: Option<BlobRef>,
    /// What is missing, in words, if it is larger than the limit.
    pub cut: Option<String>,
}

/// Which diff.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Where the objects are.
    pub(super) git: &'a Git,
    /// From this tree …
    pub(super) before: &'a GitOid,
    /// … to this.
    pub(super) after: &'a GitOid,
    /// The commit that it is of.
    pub(super) commit: &'a GitOid,
    /// Where an index can be made.
    pub(super) scratch: &'a Path,
}

/// Stores the diff. One that is larger than `diff_bytes` is cut where a file's part ends.
pub(super) fn store(
    asked: &Asked<'_>,
    limits: &OutputLimits,
    blobs: &Blobs,
) -> Result<Diff, OutputError> {
    let limit = limits.diff_bytes;
    let steps = Steps::plan(asked, limits.binary_patch_bytes)?;
    let (stored, parts) = steps.stream_until(asked, |output| {
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
        _ => Some(steps.stream_until(asked, |output| {
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
        asked.commit.short()
    );
    Ok(Diff { blob, cut: Some(cut) })
}

/// The diff in two steps: of small files with their content, and then of large ones as text, where they are text.
struct Steps {
    /// The base's tree with the changes of small files; absent if all are small.
    between: Option<GitOid>,
}

impl Steps {
    fn plan(asked: &Asked<'_>, limit: u64) -> Result<Self, OutputError> {
        let Asked { git, before, after, scratch, .. } = asked;
        let changes = gate::changes(git, Some(before), after)?;
        let large = large(git, &changes, limit)?;
        if large.is_empty() {
            return Ok(Self { between: None });
        }
        let index = scratch.join("small-index");
        match std::fs::remove_file(&index) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(OutputError::File { path: index, source });
            }
            Ok(()) | Err(_) => {}
        }
        let git = Git::clone(git).with_index(&index);
        git.run(&["read-tree", before.as_str()])?;
        let small = changes.iter().filter(|change| !large.contains(&change.path));
        worktree::change_index(&git, small, before.as_str().len())?;
        Ok(Self { between: Some(worktree::tree(&git)?) })
    }

    /// The output of git for all of it. `read` may break off when it has enough.
    fn stream_until<T>(
        &self,
        asked: &Asked<'_>,
        read: impl FnOnce(&mut dyn BufRead) -> io::Result<ControlFlow<T, T>>,
    ) -> Result<T, GitError> {
        let plain = ["diff", "--full-index", "--no-ext-diff", "--no-textconv"];
        let (before, after) = (asked.before.as_str(), asked.after.as_str());
        let Some(between) = &self.between else {
            return asked
                .git
                .stream_until(&[&plain[..], &["--binary", before, after]].concat(), read);
        };
        let small = [&plain[..], &["--binary", before, between.as_str()]].concat();
        let large = [&plain[..], &[between.as_str(), after]].concat();
        asked.git.stream_until(&small, |small| {
            let found = asked.git.stream_until(&large, |large| {
                Ok(match read(&mut small.chain(large))? {
                    ControlFlow::Continue(all) => ControlFlow::Continue((true, all)),
                    ControlFlow::Break(some) => ControlFlow::Break((false, some)),
                })
            });
            Ok(match found {
                Ok((true, all)) => ControlFlow::Continue(Ok(all)),
                Ok((false, some)) => ControlFlow::Break(Ok(some)),
                Err(error) => ControlFlow::Break(Err(error)),
            })
        })?
    }
}

/// The paths where a file of more than `limit` bytes stands before or after, and what a change of theirs gives way to: in
/// between a file can't stand where a directory does.
fn large(git: &Git, changes: &[Change], limit: u64) -> Result<HashSet<WorkspacePath>, GitError> {
    let blobs = changes.iter().flat_map(|change| {
        let sides = [(&change.old_mode, &change.old), (&change.new_mode, &change.new)];
        let files = sides.into_iter().filter(|(mode, _)| *mode != LINK_MODE);
        files.filter_map(|(_, blob)| Some((&change.path, blob.as_ref()?)))
    });
    let mut large: HashSet<WorkspacePath> =
        size::larger(git, blobs, limit)?.into_iter().cloned().collect();
    if large.is_empty() {
        return Ok(large);
    }
    let paths: HashSet<&WorkspacePath> = changes.iter().map(|change| &change.path).collect();
    for change in changes {
        for (end, _) in change.path.as_bytes().iter().enumerate().filter(|(_, b)| **b == b'/') {
            let above = WorkspacePath::from_bytes(&change.path.as_bytes()[..end]);
            if let Ok(above) = above
                && paths.contains(&above)
            {
                large.extend([above, change.path.clone()]);
            }
        }
    }
    Ok(large)
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
