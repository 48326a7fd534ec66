//! Tells the commits of a session's branch as events.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use custody_model::{Digest, GitOid};
use custody_record::event::{ChangeStatus, ChangedFile, CommitAuthor, CommitCreated};
use sha2::Digest as _;

use super::CreatedCommit;
use super::unit::Unit;
use crate::gate::{self, Change};
use crate::git::{Git, GitError};

/// Most files that the event itself names.
const FILES_IN_EVENT: usize = 100;

/// Most bytes that they take there, as far as their paths go …
const FILES_BYTES_IN_EVENT: usize = 32 << 10;

/// … and the rest of each: status, blob, digest, and the names of these members.
const FILE_BYTES: usize = 200;

/// The event of one commit.
pub(super) fn describe(
    unit: &Unit<'_>,
    git: &Git,
    commit: &GitOid,
    branch: &str,
    author: CommitAuthor,
) -> Result<CreatedCommit, GitError> {
    let words = ["show", "--no-patch", "--format=%T %P", commit.as_str()];
    let answer = git.run(&words)?;
    let answer = String::from_utf8_lossy(&answer);
    let mut oids = answer.split_ascii_whitespace().map(str::parse::<GitOid>);
    let malformed = || GitError::Answer { command: words.join(" "), what: answer.to_string() };
    let tree = oids.next().ok_or_else(malformed)?.map_err(|_| malformed())?;
    let parents = oids.collect::<Result<Vec<_>, _>>().map_err(|_| malformed())?;
    let changes = unit.changes(git, parents.first(), commit)?;
    let digests = digests(git, &changes)?;
    let files: Vec<_> = changes
        .into_iter()
        .map(|change| {
            let status = match (change.is_addition(), &change.new) {
                (true, _) => ChangeStatus::Added,
                (false, Some(_)) => ChangeStatus::Modified,
                (false, None) => ChangeStatus::Deleted,
            };
            let digest = change.new.as_ref().and_then(|blob| digests.get(blob).copied());
            ChangedFile { path: change.path, status, blob: change.new, digest }
        })
        .collect();
    let shown = in_event(&files);
    let (file_count, many) = (files.len() as u64, shown.len() < files.len());
    let event = CommitCreated {
        commit: commit.clone(),
        tree,
        parents,
        branch: branch.to_owned(),
        author,
        files: shown,
        file_count,
        refs: None,
        submodule: (!unit.root.is_root()).then(|| unit.root.clone()),
        submodules: None,
    };
    Ok(CreatedCommit { event, all_files: many.then_some(files) })
}

/// The first files, as many as the event has room for.
fn in_event(files: &[ChangedFile]) -> Vec<ChangedFile> {
    let mut room = FILES_BYTES_IN_EVENT;
    let fits = |file: &&ChangedFile| {
        let left = room.checked_sub(file.path.to_text().len() + FILE_BYTES);
        left.inspect(|left| room = *left).is_some()
    };
    files.iter().take(FILES_IN_EVENT).take_while(fits).cloned().collect()
}

/// The SHA-256 of each new blob.
fn digests(git: &Git, changes: &[Change]) -> Result<BTreeMap<GitOid, Digest>, GitError> {
    let mut asked = String::new();
    for change in changes {
        if let (Some(blob), true) = (&change.new, change.new_mode != gate::LINK_MODE) {
            asked.push_str(&format!("{blob}\n"));
        }
    }
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    git.stream(&["cat-file", "--batch", "--buffer"], asked.as_bytes(), |output| {
        let mut digests = BTreeMap::new();
        while let Some((blob, digest)) = next_digest(output)? {
            digests.insert(blob, digest);
        }
        Ok(digests)
    })
}

/// Reads one answer of `git cat-file --batch`: `<oid> <type> <size>`, newline, content, newline.
fn next_digest(output: &mut dyn BufRead) -> std::io::Result<Option<(GitOid, Digest)>> {
    let malformed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not a batch answer");
    let mut head = Vec::new();
    if output.read_until(b'\n', &mut head)? == 0 {
        return Ok(None);
    }
    let head = std::str::from_utf8(&head).map_err(|_| malformed())?;
    let mut words = head.trim_end().split(' ');
    let blob = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    let size: u64 = words.nth(1).and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    let mut hasher = sha2::Sha256::new();
    let mut content = output.take(size);
    let mut buffer = vec![0; 1 << 16];
    let mut read = 0;
    loop {
        match content.read(&mut buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                read += count as u64;
            }
        }
    }
    let mut end = [0];
    output.read_exact(&mut end)?;
    if read != size || end != [b'\n'] {
        return Err(malformed());
    }
    Ok(Some((blob, Digest::from_bytes(hasher.finalize().into()))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            while let Ok(Some(_)) = next_digest(&mut rest) {}
        }
    }

    #[test]
    fn an_event_names_a_hundred_files_and_fewer_with_long_paths() {
        let files = |path: &str| -> Vec<ChangedFile> {
            let path = path.parse().unwrap();
            let file =
                ChangedFile { path, status: ChangeStatus::Deleted, blob: None, digest: None };
            vec![file; 150]
        };
        assert_eq!(in_event(&files("src/lib.rs")).len(), FILES_IN_EVENT);
        let long = vec!["d".repeat(250); 16].join("/");
        assert_eq!(in_event(&files(&long)).len(), FILES_BYTES_IN_EVENT / (long.len() + FILE_BYTES));
    }
}
