//! What was changed in submodules that are checked out: commits of their own repositories, those of the innermost first, so that
//! each repository has its submodules where they come out.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use custody_model::{GitOid, WorkspacePath};
use custody_record::event::{CommitAuthor, CreatedSubmodule};

use super::branch::{Making, Own, finish, tree_of};
use super::unit::Unit;
use super::{
    CreatedCommit, MAX_OUTPUT_SUBMODULES, OutputError, admission, commits, import, others,
};
use crate::gate::{self, violation};
use crate::git::{Git, GitError};
use crate::worktree::{Difference, Different};

/// A submodule from which something comes out.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) told: CreatedSubmodule,
    /// The commits of its branch and its refs, as events.
    pub(super) commits: Vec<CreatedCommit>,
}

/// Most bytes that they take in the event of the last commit, beside its files and refs.
const SUBMODULES_BYTES_IN_EVENT: usize = 10 << 10;

/// What one takes there.
fn bytes(told: &CreatedSubmodule) -> usize {
    let branch = told.branch.as_ref().map_or(0, String::len);
    let refs = told.refs.iter().flatten();
    let refs: usize = refs.map(|one| import::ref_bytes(&one.name, &one.inside, &one.object)).sum();
    2 * told.path.to_text().len() + branch + 2 * told.commit.as_str().len() + 80 + refs
}

/// Makes the commits of all of them.
pub(super) fn changed(making: &mut Making<'_>) -> Result<Vec<Changed>, OutputError> {
    let submodules = making.request.base.submodules();
    let mut there: Vec<_> = submodules.iter().filter(|one| one.absent.is_none()).collect();
    // The innermost first.
    there.sort_by_key(|one| std::cmp::Reverse(one.path.as_bytes().len()));
    let mut changed: Vec<Changed> = Vec::new();
    let mut room = SUBMODULES_BYTES_IN_EVENT;
    for one in there {
        let mut unit = Unit::new(making.request, &one.path, &one.commit);
        unit.links = links(&changed);
        let Some(made) = change(making, &unit, &changed)? else { continue };
        let cost = bytes(&made.told);
        if changed.len() >= MAX_OUTPUT_SUBMODULES || cost > room {
            let what = "it is a submodule that was changed, and stays out: the record's event has no room for more submodules";
            making.violations.push(violation(&one.path, what));
            continue;
        }
        room -= cost;
        changed.push(made);
    }
    changed.sort_by(|a, b| a.told.path.cmp(&b.told.path));
    Ok(changed)
}

/// What of one submodule comes out, if anything does.
fn change(
    making: &mut Making<'_>,
    unit: &Unit<'_>,
    inner: &[Changed],
) -> Result<Option<Changed>, OutputError> {
    let git = making.git;
    let Own { kept, refs } = making.own_commits(unit)?;
    let parent = kept.last().unwrap_or(unit.base).clone();
    let mut head = parent.clone();
    let mut by_custody = false;
    // An empty directory is a submodule that is not checked out any more.
    if !admission::is_empty(unit.request, unit.root) {
        let (_, tree) = making.tree(unit, &kept, inner)?;
        if tree != tree_of(git, &parent)? {
            head = finish(unit, git, &tree, parent, &refs)?;
            by_custody = true;
        }
    }
    if head == *unit.base && refs.is_empty() {
        return Ok(None);
    }
    let Some(name) = unit.branch() else {
        let what = "it is a submodule, its path is too long for the name of a ref: what was changed in it stays out";
        making.violations.push(violation(unit.root, what));
        return Ok(None);
    };
    let short = name.trim_start_matches("refs/heads/");
    let mut created = others::described(unit, git, &refs, &kept)?;
    for own in &kept {
        created.push(commits::describe(unit, git, own, short, CommitAuthor::Agent)?);
    }
    if by_custody {
        created.push(commits::describe(unit, git, &head, short, CommitAuthor::Custody)?);
    }
    let told = CreatedSubmodule {
        path: unit.root.clone(),
        base: unit.base.clone(),
        branch: (head != *unit.base).then_some(name),
        commit: head,
        refs: others::told(&refs),
    };
    Ok(Some(Changed { told, commits: created }))
}

/// The commits that come out of submodules, by the submodules' directories.
pub(super) fn links(changed: &[Changed]) -> HashMap<WorkspacePath, HashSet<GitOid>> {
    let commits = |one: &Changed| one.commits.iter().map(|one| one.event.commit.clone()).collect();
    changed.iter().map(|one| (one.told.path.clone(), commits(one))).collect()
}

/// What is to be put into the index of a repository for its submodules, as `update-index --index-info` reads it; and those that
/// were removed or replaced.
pub(super) fn links_in(
    unit: &Unit<'_>,
    git: &Git,
    changed: &[Changed],
) -> Result<(Vec<u8>, Vec<Different>), OutputError> {
    let (mut moved, mut gone) = (Vec::new(), Vec::new());
    if unit.request.base.submodules().is_empty() {
        return Ok((moved, gone));
    }
    let staged = git.run(&["ls-files", "--stage", "-z"])?;
    for line in staged.split(|b| *b == 0) {
        let Some(tab) = line.iter().position(|b| *b == b'\t') else { continue };
        let (head, path) = (&line[..tab], &line[tab + 1..]);
        if !head.starts_with(gate::LINK_MODE.as_bytes()) {
            continue;
        }
        let Ok(path) = WorkspacePath::from_bytes(path) else { continue };
        let how = match unit.kind(&path) {
            None => Difference::Deleted,
            Some(found) if !found.is_dir() => Difference::Modified,
            Some(_) => {
                let whole = unit.whole(&path)?;
                let made = changed.iter().find(|one| one.told.path == whole);
                if let Some(made) = made.filter(|made| made.told.branch.is_some()) {
                    let head = format!("{} {}\t", gate::LINK_MODE, made.told.commit);
                    moved.extend_from_slice(head.as_bytes());
                    moved.extend_from_slice(path.as_bytes());
                    moved.push(0);
                }
                continue;
            }
        };
        gone.push(Different { path, how });
    }
    Ok((moved, gone))
}

/// The trees of two commits with the files of the changed submodules in their places: a diff of them says what a session changed.
pub(super) fn unfolded(
    git: &Git,
    scratch: &Path,
    base: &GitOid,
    commit: &GitOid,
    changed: &[Changed],
) -> Result<(GitOid, GitOid), GitError> {
    let changed: Vec<_> = changed.iter().filter(|one| one.told.branch.is_some()).collect();
    if changed.is_empty() {
        return Ok((base.clone(), commit.clone()));
    }
    // Git wants one here, and touches nothing in it.
    let nothing = scratch.join("nothing");
    let git = git.clone().with_index(&scratch.join("diff-index")).with_work_tree(&nothing);
    let tree = |commit: &GitOid, of: &dyn Fn(&CreatedSubmodule) -> GitOid| {
        git.run(&["read-tree", commit.as_str()])?;
        // By their paths, so that those around others come first.
        for one in &changed {
            let path = one.told.path.as_path();
            let listed = git.run(&[
                std::ffi::OsStr::new("ls-files"),
                std::ffi::OsStr::new("--stage"),
                std::ffi::OsStr::new("--"),
                path.as_os_str(),
            ])?;
            if !listed.starts_with(gate::LINK_MODE.as_bytes()) {
                continue;
            }
            let mut gone = one.told.path.as_bytes().to_vec();
            gone.push(0);
            git.run_with_input(&["update-index", "-z", "--force-remove", "--stdin"], &gone)?;
            let mut prefix = std::ffi::OsString::from("--prefix=");
            prefix.push(path.as_os_str());
            prefix.push("/");
            let of = of(&one.told);
            git.run(&[
                std::ffi::OsStr::new("read-tree"),
                prefix.as_os_str(),
                std::ffi::OsStr::new(of.as_str()),
            ])?;
        }
        crate::worktree::tree(&git)
    };
    let before = tree(base, &|one| one.base.clone())?;
    let after = tree(commit, &|one| one.commit.clone())?;
    Ok((before, after))
}
