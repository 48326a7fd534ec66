//! What differs between an index and a work tree, found and taken in without running anything of the work tree's.
//!
//! A nested repository or a submodule's checkout has a configuration of its own, and `git add` or `git status` would
//! run git inside it. Here submodules are never entered and each path that is taken in is named.

use std::collections::HashSet;
use std::ffi::OsStr;

use custody_model::WorkspacePath;

use crate::git::{Git, GitError};

/// How a path of the work tree differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Difference {
    /// Tracked, and its content, mode or kind is another.
    Modified,
    /// Tracked, and not there.
    Deleted,
    /// A file or link that is neither tracked nor ignored.
    Untracked,
    /// A directory that is a repository of its own: git would not look inside.
    Nested,
}

/// One differing path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Different {
    pub(crate) path: WorkspacePath,
    pub(crate) how: Difference,
}

/// Everything that differs. `git` has the work tree and an index of Custody's own, whose stat data is refreshed.
/// `nested` are directories that git does not see to be repositories of their own, and that are to be told as one thing each.
pub(crate) fn differences(git: &Git, nested: &[WorkspacePath]) -> Result<Vec<Different>, GitError> {
    // It says whether something needs an update by its exit status; the answer below tells what.
    git.asks(&["update-index", "-q", "--refresh", "--ignore-submodules"])?;
    let mut found = Vec::new();
    let words = ["diff-files", "-z", "--raw", "--no-abbrev", "--ignore-submodules=all"];
    let raw = git.run(&words)?;
    let mut fields = raw.split(|b| *b == 0).filter(|field| !field.is_empty());
    while let (Some(head), Some(path)) = (fields.next(), fields.next()) {
        let how = match head.last() {
            Some(b'D') => Difference::Deleted,
            Some(_) | None => Difference::Modified,
        };
        let submodule = head.starts_with(b":160000");
        if !submodule {
            found.push(Different { path: path_of(&words, path)?, how });
        }
    }
    let words = ["ls-files", "-z", "--others", "--exclude-standard"];
    let others = git.run(&words)?;
    for path in others.split(|b| *b == 0).filter(|path| !path.is_empty()) {
        let (path, how) = match path.strip_suffix(b"/") {
            Some(directory) => (directory, Difference::Nested),
            None => (path, Difference::Untracked),
        };
        found.push(Different { path: path_of(&words, path)?, how });
    }
    if !nested.is_empty() {
        fold(git, nested, &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    // An unmerged path is told twice. A repository in the place of a file is two things.
    let nested = |different: &Different| different.how == Difference::Nested;
    found.dedup_by(|a, b| a.path == b.path && nested(a) == nested(b));
    Ok(found)
}

/// Tells a nested repository in the place of the untracked files in it. One in which the index has a file is a directory
/// like others.
fn fold(git: &Git, nested: &[WorkspacePath], found: &mut [Different]) -> Result<(), GitError> {
    let index = git.run(&["ls-files", "-z", "--cached"])?;
    let mut tracked = HashSet::new();
    for path in index.split(|b| *b == 0).filter(|path| !path.is_empty()) {
        for (end, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            tracked.insert(&path[..end]);
        }
    }
    let nested: HashSet<&[u8]> = nested
        .iter()
        .map(WorkspacePath::as_bytes)
        .filter(|directory| !tracked.contains(directory))
        .collect();
    for different in found.iter_mut().filter(|d| d.how == Difference::Untracked) {
        let path = different.path.as_bytes();
        let mut directories = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        let repository = directories.find_map(|(end, _)| nested.get(&path[..end]));
        if let Some(repository) = repository.and_then(|r| WorkspacePath::from_bytes(r).ok()) {
            *different = Different { path: repository, how: Difference::Nested };
        }
    }
    Ok(())
}

fn path_of(words: &[&str], bytes: &[u8]) -> Result<WorkspacePath, GitError> {
    WorkspacePath::from_bytes(bytes)
        .map_err(|invalid| GitError::Answer { command: words.join(" "), what: invalid.to_string() })
}

/// Takes the named paths into the index as they stand in the work tree. If git fails, what is gone may be
/// out of the index already, and none of the others is in it.
pub(crate) fn take_in<'a>(
    git: &Git,
    paths: impl Iterator<Item = &'a Different>,
) -> Result<(), GitError> {
    let (mut gone, mut there) = (Vec::new(), Vec::new());
    for different in paths {
        let list = match different.how {
            Difference::Deleted => &mut gone,
            Difference::Modified | Difference::Untracked => &mut there,
            Difference::Nested => continue,
        };
        list.extend_from_slice(different.path.as_bytes());
        list.push(0);
    }
    // What is gone goes first: a directory may stand where a file stood.
    if !gone.is_empty() {
        git.run_with_input(&["update-index", "-z", "--force-remove", "--stdin"], &gone)?;
    }
    if !there.is_empty() {
        let words = ["update-index", "-z", "--add", "--remove", "--replace", "--stdin"];
        git.run_with_input(&words, &there)?;
    }
    Ok(())
}

/// Those of the paths that patterns of the work tree ignore.
pub(crate) fn ignored(
    git: &Git,
    paths: &[WorkspacePath],
) -> Result<HashSet<WorkspacePath>, GitError> {
    let mut asked = Vec::new();
    for path in paths.iter().filter(|path| !path.is_root()) {
        // So that no name is taken for a pattern with a meaning of its own.
        asked.extend_from_slice(b"./");
        asked.extend_from_slice(path.as_bytes());
        asked.push(0);
    }
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let words = ["check-ignore", "-z", "--no-index", "--stdin"];
    let git = git.clone().with_variable("GIT_LITERAL_PATHSPECS", OsStr::new("0"));
    let answer = match git.run_with_input(&words, &asked) {
        Err(GitError::Failed { status, .. }) if status.code() == Some(1) => Vec::new(),
        answer => answer?,
    };
    let ignored = answer.split(|b| *b == 0).filter_map(|path| path.strip_prefix(b"./"));
    ignored.map(|path| path_of(&words, path)).collect()
}

/// Makes a tree of the index.
pub(crate) fn tree(git: &Git) -> Result<custody_model::GitOid, GitError> {
    git.run_for_oid(&[OsStr::new("write-tree")], &[])
}
