//! Which differences of the work tree get into the session's commit: what the session made and no rule keeps out.

use std::os::unix::fs::MetadataExt;

use custody_model::WorkspacePath;
use custody_policy::Treatment;
use custody_record::event::PolicyViolated;

use super::hidden::Hidden;
use super::{OutputError, OutputRequest};
use crate::covers::Nested;
use crate::gate::{self, violation};
use crate::git::Git;
use crate::mount::beneath;
use crate::worktree::{self, Difference, Different};

/// Whether the session did not make this difference, so that the branch stays as it is there: a file that is absent because
/// the agent's git hides it, or one of the base that nobody touched where the agent's commits have another.
///
/// `inner` is its path below the root of its repository, `different` has that in the workspace.
pub(super) fn stays(
    request: &OutputRequest<'_>,
    (inner, different): (&WorkspacePath, &Different),
    hidden: &Hidden,
    kept: bool,
    violations: &mut Vec<PolicyViolated>,
) -> bool {
    let Different { path, how } = different;
    match how {
        Difference::Deleted if hidden.has(inner) => {
            request.rules.treatment(path).treatment != Treatment::Deny
        }
        Difference::Deleted if hidden.is_unknown() => {
            let what = "it is absent, and whether it was removed or is hidden by the sparse checkout can't be told without \
                        git's index: it stays as it was";
            violations.push(violation(path, what));
            true
        }
        Difference::Modified => kept && untouched(request, path),
        Difference::Deleted | Difference::Untracked | Difference::Nested => false,
    }
}

/// Whether a file of the base is still the base's own: what the session opens for writing gets an inode of its layer, with a
/// time of change of its own.
fn untouched(request: &OutputRequest<'_>, path: &WorkspacePath) -> bool {
    let found = beneath(request.clean, path.as_path().as_os_str(), libc::O_PATH)
        .and_then(|file| std::fs::File::from(file).metadata());
    let base = request.base.tree().join(path.as_path()).symlink_metadata();
    let mark = |at: &std::fs::Metadata| {
        (at.mode(), at.size(), at.mtime(), at.mtime_nsec(), at.ctime(), at.ctime_nsec())
    };
    matches!((found, base), (Ok(found), Ok(base)) if mark(&found) == mark(&base))
}

/// Why a difference may not get out. `left` is how many bytes still may.
pub(super) fn refused(
    request: &OutputRequest<'_>,
    different: &Different,
    left: &mut u64,
) -> Option<PolicyViolated> {
    let Different { path, how } = different;
    let what = match how {
        Difference::Modified => "it was changed",
        Difference::Deleted => "it was removed",
        Difference::Untracked => "it was made",
        Difference::Nested => "a linked work tree was made",
    };
    if let Some(violated) = gate::judge(request.rules, path, what) {
        return Some(violated);
    }
    match how {
        Difference::Deleted => return None,
        Difference::Nested => {
            let what = "a linked work tree stands there: what is not committed in it stays out of the outputs";
            return Some(violation(path, what));
        }
        Difference::Modified | Difference::Untracked => {}
    }
    // A file in the place of a directory would take with it what the base has below and a rule guards.
    let entries = request.base.manifest().entries();
    let from = entries.partition_point(|entry| entry.path <= *path);
    let mut below = entries[from..]
        .iter()
        .skip_while(|entry| {
            !entry.path.starts_with(path) && entry.path.as_bytes().starts_with(path.as_bytes())
        })
        .take_while(|entry| entry.path.as_bytes().starts_with(path.as_bytes()))
        .filter(|entry| entry.path.starts_with(path));
    let guarded = below.find_map(|entry| {
        gate::judge(request.rules, &entry.path, "a file stands in the place of its directory")
    });
    if guarded.is_some() {
        return guarded;
    }
    let found = beneath(request.clean, path.as_path().as_os_str(), libc::O_PATH)
        .and_then(|file| std::fs::File::from(file).metadata());
    let limit = request.limits.file_bytes;
    match found {
        Ok(found) if !found.is_file() && !found.is_symlink() => {
            Some(violation(path, "it is neither a file nor a link any more"))
        }
        Ok(found) if found.size() > limit => {
            Some(violation(path, format!("it is larger than {limit} bytes")))
        }
        Ok(found) if found.size() > *left => {
            let total = request.limits.total_bytes;
            Some(violation(path, format!("with it the changes have more than {total} bytes")))
        }
        Ok(found) => {
            *left -= found.size();
            None
        }
        Err(error) => Some(violation(path, format!("it can't be looked at: {error}"))),
    }
}

/// Denied paths are placeholders in the clean view; anything else came there behind the guard.
pub(super) fn behind_the_guard(request: &OutputRequest<'_>, violations: &mut Vec<PolicyViolated>) {
    for entry in request.base.manifest().entries().iter().filter(|entry| entry.withheld) {
        let path = entry.path.as_path().as_os_str();
        let Ok(file) = beneath(request.clean, path, libc::O_PATH) else {
            continue;
        };
        let empty = std::fs::File::from(file)
            .metadata()
            .is_ok_and(|found| found.is_file() && found.size() == 0);
        if !empty {
            violations.extend(gate::judge(
                request.rules,
                &entry.path,
                "it was written behind the guard",
            ));
        }
    }
}

/// Tells of repositories inside of the workspace whose history stays out, and of submodules in whose empty directory something
/// was made.
pub(super) fn inner_histories(
    request: &OutputRequest<'_>,
    git: &Git,
    nested: &[Nested],
    violations: &mut Vec<PolicyViolated>,
) -> Result<(), OutputError> {
    let submodules = request.base.submodules();
    let is_submodule = |path: &WorkspacePath| submodules.iter().any(|one| one.path == *path);
    let own = nested.iter().filter(|nested| !nested.linked).map(|nested| nested.path.clone());
    let own: Vec<_> = own.filter(|path| !is_submodule(path)).collect();
    let ignored = worktree::ignored(git, &own)?;
    for path in own.iter().filter(|path| !ignored.contains(*path)) {
        let what = "a git repository of its own was made here: its files are taken in, its history stays out";
        violations.push(violation(path, what));
    }
    for one in submodules.iter().filter(|one| one.absent.is_some()) {
        if !is_empty(request, &one.path) {
            let what = "it is a submodule whose files were not there: what was made in it stays out of the outputs";
            violations.push(violation(&one.path, what));
        }
    }
    Ok(())
}

/// Whether a path is no directory, or one with nothing in it.
pub(super) fn is_empty(request: &OutputRequest<'_>, path: &WorkspacePath) -> bool {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let opened = beneath(request.clean, path.as_path().as_os_str(), flags);
    let Ok(mut listed) = opened.and_then(|fd| Ok(nix::dir::Dir::from_fd(fd)?)) else {
        return true;
    };
    let mut names = listed.iter().flatten();
    names.all(|entry| matches!(entry.file_name().to_bytes(), b"." | b".."))
}
