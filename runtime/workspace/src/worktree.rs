//! What differs between an index and a work tree, found and taken in without running anything of the work tree's.
//!
//! A nested repository or a submodule's checkout has a configuration of its own, and `git add` or `git status` would
//! run git inside it. Here submodules are never entered and each path that is taken in is named.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use custody_model::{GitOid, WorkspacePath};

use crate::gate::{Change, LINK_MODE};
use crate::git::{Git, GitError};
use crate::layer::Within;

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
/// What is not `within` is not looked at: it is as the index has it.
pub(crate) fn differences(
    git: &Git,
    nested: &[WorkspacePath],
    within: &Within,
) -> Result<Vec<Different>, GitError> {
    let mut paths: Vec<&OsStr> = Vec::new();
    if let Within::Places(places) = within {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        paths.push(OsStr::new("--"));
        paths.extend(places.iter().map(|place| place.as_path().as_os_str()));
    }
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
        let mode = head.strip_prefix(b":").unwrap_or(head);
        if !mode.starts_with(LINK_MODE.as_bytes()) {
            found.push(Different { path: path_of(&words, path)?, how });
        }
    }
    let words = ["ls-files", "-z", "--others", "--exclude-standard"];
    let mut asked: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    asked.extend(paths);
    let others = git.run(&asked)?;
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

/// The part of an index that is within some places, in an index of its own at `part`: what looks at each of its entries costs
/// what is there, and not what the repository has. Stat data is not taken over.
pub(crate) fn part_of_index(git: &Git, part: &Path, within: &Within) -> Result<Git, GitError> {
    let Within::Places(places) = within else { return Ok(git.clone()) };
    let mut words = vec![OsStr::new("ls-files"), OsStr::new("-z"), OsStr::new("--stage")];
    words.push(OsStr::new("--"));
    words.extend(places.iter().map(|place| place.as_path().as_os_str()));
    let entries = match places.is_empty() {
        true => Vec::new(),
        false => git.run(&words)?,
    };
    let git = git.clone().with_index(part);
    git.run(&["read-tree", "--empty"])?;
    if !entries.is_empty() {
        git.run_with_input(&["update-index", "-z", "--index-info"], &entries)?;
    }
    Ok(git)
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

/// Those of the untracked paths that are not in the index after [`take_in`]: git passes over names that it takes for its own
/// (`.GIT`, `git~1`), says so on its standard error alone, and ends well.
pub(crate) fn passed_over<'a>(
    git: &Git,
    taken: &'a [Different],
) -> Result<Vec<&'a Different>, GitError> {
    let new: Vec<_> = taken.iter().filter(|one| one.how == Difference::Untracked).collect();
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<Vec<u8>> =
        new.iter().map(|one| [b":0:", one.path.as_bytes()].concat()).collect();
    let asked: Vec<u8> = names.iter().flat_map(|name| [name, &b"\0"[..]].concat()).collect();
    let words = ["cat-file", "-z", "--batch-check=%(objectname)"];
    let answer = git.run_with_input(&words, &asked)?;
    let mut rest = answer.as_slice();
    let mut passed = Vec::new();
    for (one, name) in new.into_iter().zip(names) {
        // A name may have line feeds in it.
        let missing =
            rest.strip_prefix(name.as_slice()).and_then(|r| r.strip_prefix(b" missing\n"));
        if let Some(after) = missing {
            passed.push(one);
            rest = after;
        } else if let Some(end) = rest.iter().position(|b| *b == b'\n') {
            rest = &rest[end + 1..];
        } else {
            let what = format!("nothing about {}", one.path);
            return Err(GitError::Answer { command: words.join(" "), what });
        }
    }
    Ok(passed)
}

/// Makes changes between trees in the index; what is unchanged keeps its stat data. `oid_digits` is the length of an object's name.
pub(crate) fn change_index<'a>(
    git: &Git,
    changes: impl IntoIterator<Item = &'a Change>,
    oid_digits: usize,
) -> Result<(), GitError> {
    let zero = "0".repeat(oid_digits);
    let (mut gone, mut there) = (Vec::new(), Vec::new());
    for change in changes {
        let oid = change.new.as_ref().map_or(zero.as_str(), GitOid::as_str);
        let list = if change.new.is_some() { &mut there } else { &mut gone };
        let mode = if change.new.is_some() { change.new_mode.as_str() } else { "0" };
        list.extend_from_slice(format!("{mode} {oid}\t").as_bytes());
        list.extend_from_slice(change.path.as_bytes());
        list.push(0);
    }
    gone.extend(there);
    if !gone.is_empty() {
        git.run_with_input(&["update-index", "-z", "--index-info"], &gone)?;
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
pub(crate) fn tree(git: &Git) -> Result<GitOid, GitError> {
    git.run_for_oid(&[OsStr::new("write-tree")], &[])
}
