//! Checks a base commit out: its files, placeholders for what is denied, its `.git`, its indexes, its manifest.

use std::collections::{BTreeMap, HashMap};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use custody_model::{GitOid, WorkspacePath};
use custody_policy::Treatment;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::index::{self, StatData};
use super::{
    BaseError, BaseRequest, EntryKind, Manifest, ManifestEntry, Progress, at, git_dir, submodules,
};
use crate::git::GitError;
use crate::mirror::{Submodule, below};
use crate::overlay::Owner;
use crate::view::topmost_denied;

/// Files of the checkout are at least this much older than its index, in seconds: git reads a file again whose
/// time is not before the index's.
const SETTLED_SECONDS: i64 = 10;

/// Makes the base in the empty directory `place`. Its marker is left to the caller.
pub(super) fn make(
    request: &BaseRequest<'_>,
    submodules: &[Submodule],
    place: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Manifest, BaseError> {
    let tree = place.join("tree");
    at(&tree, std::fs::create_dir(&tree))?;
    at(place, std::fs::set_permissions(place, Permissions::from_mode(0o755)))?;
    let root = WorkspacePath::root();
    let main = Part { root: &root, commit: request.commit, index: place.join("index") };
    let (mut entries, denied) = check_out(request, &main, &tree, progress)?;
    let inner = tree.join(".git");
    git_dir::write(request, &inner, &denied)?;
    let mut parts = Vec::new();
    for one in submodules.iter().filter(|one| one.absent.is_none()) {
        let index = submodules::index(place, submodules, &one.path);
        let part = Part { root: &one.path, commit: &one.commit, index };
        if let Some(directory) = part.index.parent() {
            at(directory, std::fs::create_dir_all(directory))?;
        }
        let (files, denied) = check_out(request, &part, &tree, progress)?;
        entries.extend(files);
        entries.push(git_dir::write_submodule(request, &tree, one, &denied)?);
        parts.push(part);
    }
    let time = file_time(request)?;
    settle(&tree, &inner, request.owner, time)?;
    for part in [&main].into_iter().chain(&parts) {
        complete_index(request, part, &tree)?;
    }
    for entry in &mut entries {
        if entry.kind != EntryKind::Submodule && !entry.withheld {
            let path = tree.join(entry.path.as_path());
            entry.size = at(&path, path.symlink_metadata())?.size();
        }
    }
    let manifest = Manifest::new(entries);
    let path = place.join("manifest");
    at(&path, std::fs::write(&path, manifest.to_bytes()))?;
    Ok(manifest)
}

/// One repository of the workspace: the one that was asked for, or a submodule.
struct Part<'a> {
    /// Where it stands in the workspace.
    root: &'a WorkspacePath,
    commit: &'a GitOid,
    /// Where its index goes.
    index: PathBuf,
}

/// Checks the files of one repository out. Its entries, and what is denied, topmost, both by their paths in the workspace.
fn check_out(
    request: &BaseRequest<'_>,
    part: &Part<'_>,
    tree: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<ManifestEntry>, Vec<WorkspacePath>), BaseError> {
    let directory = tree.join(part.root.as_path());
    at(&directory, std::fs::create_dir_all(&directory))?;
    let git = request.mirror.git().with_work_tree(&directory).with_index(&part.index);
    let commit = part.commit.as_str();
    git.run(&["read-tree", commit])?;
    let listed = git.run(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit])?;
    let mut entries = Manifest::parse(&listed)?.entries().to_vec();
    let mut skipped = Vec::new();
    let mut placeholders = BTreeMap::new();
    for entry in &mut entries {
        let inner = entry.path.clone();
        entry.path =
            WorkspacePath::from_bytes(&below(part.root, inner.as_bytes())).map_err(|_| {
                GitError::Answer {
                    command: "ls-tree".to_owned(),
                    what: format!("{inner} is too long below {}", part.root),
                }
            })?;
        if request.rules.treatment(&entry.path).treatment != Treatment::Deny {
            continue;
        }
        entry.withheld = entry.kind != EntryKind::Submodule;
        entry.size = 0;
        skipped.extend_from_slice(inner.as_bytes());
        skipped.push(0);
        let top = topmost_denied(request.rules, &entry.path).unwrap_or_else(|| entry.path.clone());
        let directory = top != entry.path || entry.kind == EntryKind::Submodule;
        placeholders.insert(top, directory);
    }
    if !skipped.is_empty() {
        git.run_with_input(&["update-index", "--skip-worktree", "-z", "--stdin"], &skipped)?;
    }
    progress(Progress::CheckingOut { files: entries.len() });
    git.run(&["checkout-index", "--all", "--quiet", "--force"])?;
    for (path, directory) in &placeholders {
        place_holder(&tree.join(path.as_path()), *directory)?;
    }
    Ok((entries, placeholders.into_keys().collect()))
}

/// An empty directory or file where the guard can be mounted.
fn place_holder(path: &Path, directory: bool) -> Result<(), BaseError> {
    let made = if directory {
        std::fs::create_dir_all(path)
    } else {
        let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        parent.and_then(|()| std::fs::File::create_new(path).map(drop))
    };
    at(path, made)
}

/// The time that all files get: the commit's, but never one too young for git to trust.
fn file_time(request: &BaseRequest<'_>) -> Result<TimeSpec, BaseError> {
    let words = ["show", "--no-patch", "--format=%ct", request.commit.as_str()];
    let answer = request.mirror.git().run(&words)?;
    let seconds = String::from_utf8_lossy(&answer).trim().parse::<i64>().unwrap_or(0);
    let newest = request.now.as_micros().div_euclid(1_000_000) - SETTLED_SECONDS;
    Ok(TimeSpec::new(seconds.clamp(0, newest.max(0)), 0))
}

/// Gives everything its owner and mode, and everything but `.git` its time. Contents first, then their directory.
fn settle(path: &Path, inner: &Path, owner: Owner, time: TimeSpec) -> Result<(), BaseError> {
    let found = at(path, path.symlink_metadata())?;
    if found.is_dir() {
        for entry in at(path, std::fs::read_dir(path))? {
            settle(&at(path, entry)?.path(), inner, owner, time)?;
        }
    }
    at(path, std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid)))?;
    if !found.is_symlink() {
        let executable = found.is_dir() || found.mode() & 0o100 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        at(path, std::fs::set_permissions(path, Permissions::from_mode(mode)))?;
    }
    if !path.starts_with(inner) {
        let set = utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink);
        at(path, set.map_err(Into::into))?;
    }
    Ok(())
}

/// Puts the stat data of the checked-out files into the index: as the host sees them into the base's own, as they
/// are seen inside into that of the git directory.
fn complete_index(
    request: &BaseRequest<'_>,
    part: &Part<'_>,
    tree: &Path,
) -> Result<(), BaseError> {
    let mut bytes = at(&part.index, std::fs::read(&part.index))?;
    let oid_bytes = part.commit.as_str().len() / 2;
    let mut known: HashMap<WorkspacePath, StatData> = HashMap::new();
    let Owner { uid, gid } = request.owner;
    index::complete(&mut bytes, oid_bytes, |path, mode| {
        let whole = WorkspacePath::from_bytes(&below(part.root, path.as_bytes())).ok()?;
        if request.rules.treatment(&whole).treatment == Treatment::Deny || mode == 0o160_000 {
            return None;
        }
        let stat = StatData::of(&tree.join(whole.as_path()), mode, uid, gid).ok()?;
        known.insert(path.clone(), stat);
        Some(stat)
    })?;
    at(&part.index, std::fs::write(&part.index, &bytes))?;
    let Owner { uid, gid } = request.owner_inside;
    index::complete(&mut bytes, oid_bytes, |path, _| Some(known.get(path)?.owned_by(uid, gid)))?;
    let inside = tree.join(submodules::git_dir(part.root)).join("index");
    at(&inside, std::fs::write(&inside, &bytes))?;
    at(&inside, std::fs::set_permissions(&inside, Permissions::from_mode(0o644)))?;
    at(
        &inside,
        std::os::unix::fs::lchown(&inside, Some(request.owner.uid), Some(request.owner.gid)),
    )
}
