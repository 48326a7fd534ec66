//! Checks a base commit out: its files, placeholders for what is denied, its `.git`, its indexes, its manifest.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use custody_model::WorkspacePath;
use custody_policy::Treatment;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use super::index::{self, StatData};
use super::{BaseError, BaseRequest, EntryKind, Manifest, Progress, at, git_dir};
use crate::overlay::Owner;
use crate::view::topmost_denied;

/// Files of the checkout are at least this much older than its index, in seconds: git reads a file again whose
/// time is not before the index's.
const SETTLED_SECONDS: i64 = 10;

/// Makes the base in the empty directory `place`. Its marker is left to the caller.
pub(super) fn make(
    request: &BaseRequest<'_>,
    place: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Manifest, BaseError> {
    let tree = place.join("tree");
    let index_path = place.join("index");
    at(&tree, std::fs::create_dir(&tree))?;
    at(place, std::fs::set_permissions(place, Permissions::from_mode(0o755)))?;
    let git = request.mirror.git().with_work_tree(&tree).with_index(&index_path);
    let commit = request.commit.as_str();
    git.run(&["read-tree", commit])?;
    let listed = git.run(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit])?;
    let mut entries = Manifest::parse(&listed)?.entries().to_vec();
    let mut skipped = Vec::new();
    let mut placeholders = BTreeMap::new();
    for entry in &mut entries {
        if request.rules.treatment(&entry.path).treatment != Treatment::Deny {
            continue;
        }
        entry.withheld = entry.kind != EntryKind::Submodule;
        entry.size = 0;
        skipped.extend_from_slice(entry.path.as_bytes());
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
    let denied: Vec<_> = placeholders.into_keys().collect();
    let inner = tree.join(".git");
    git_dir::write(request, &inner, &denied)?;
    let time = file_time(request)?;
    settle(&tree, &inner, request.owner, time)?;
    complete_index(request, &tree, &index_path)?;
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
/// are seen inside into that of `.git`.
fn complete_index(
    request: &BaseRequest<'_>,
    tree: &Path,
    index_path: &Path,
) -> Result<(), BaseError> {
    let mut bytes = at(index_path, std::fs::read(index_path))?;
    let oid_bytes = request.commit.as_str().len() / 2;
    let mut known: HashMap<WorkspacePath, StatData> = HashMap::new();
    let Owner { uid, gid } = request.owner;
    index::complete(&mut bytes, oid_bytes, |path, mode| {
        if request.rules.treatment(path).treatment == Treatment::Deny || mode == 0o160_000 {
            return None;
        }
        let stat = StatData::of(&tree.join(path.as_path()), mode, uid, gid).ok()?;
        known.insert(path.clone(), stat);
        Some(stat)
    })?;
    at(index_path, std::fs::write(index_path, &bytes))?;
    let Owner { uid, gid } = request.owner_inside;
    index::complete(&mut bytes, oid_bytes, |path, _| Some(known.get(path)?.owned_by(uid, gid)))?;
    let inside = tree.join(".git").join(OsStr::new("index"));
    at(&inside, std::fs::write(&inside, &bytes))?;
    at(&inside, std::fs::set_permissions(&inside, Permissions::from_mode(0o644)))?;
    at(
        &inside,
        std::os::unix::fs::lchown(&inside, Some(request.owner.uid), Some(request.owner.gid)),
    )
}
