//! The objects that sessions under one set of rules may see: packs that lack what the rules deny.
//!
//! `git show HEAD:secrets/key`, `cat-file --batch-all-objects` and `archive` go round every rule about paths, as
//! long as the objects are there. So sessions whose rules deny something never see the mirror's objects, but a
//! store of their own, shared by all sessions with the same rules. It holds every commit and tree (names of
//! denied files are no secret, their content is) and every blob that stood at an allowed path at some time. It only
//! grows, by one pack for each base commit that brings something new. In the place of each withheld blob stands an empty
//! file of its name. Git that only asks whether the blob is there goes on (`archive` of other paths, `gc`), and git that
//! opens it is refused by the keeper, which knows then who asked for what.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use custody_model::{GitOid, WorkspacePath};
use serde::{Deserialize, Serialize};

use super::history::{self, Placed};
use super::{BRANCH_INSIDE, BaseError, BaseRequest, Progress, at};
use crate::git::Git;
use crate::mirror::Submodule;

/// Most branches of the source that a session sees.
const MAX_BRANCHES: usize = 1000;

/// What is known of a store.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// Commits whose whole history is in the store.
    tips: Vec<GitOid>,
    /// Those of submodules, with where they stand in the workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    submodules: Vec<(WorkspacePath, GitOid)>,
    /// Blobs of that history that are not.
    withheld: BTreeSet<GitOid>,
    /// A path at which each of them stood.
    #[serde(default)]
    paths: BTreeMap<GitOid, WorkspacePath>,
}

/// Permission bits of the file in the place of a withheld blob: there is nothing in it, and it is the keeper who refuses
/// to open it.
const WITHHELD_MODE: u32 = 0o444;

/// The withheld blobs of a store, each with a path at which it stood. Nothing if it is no store of this kind.
///
/// # Errors
/// [`BaseError`]: the store's state can't be read.
pub(super) fn withheld(store: &Path) -> Result<BTreeMap<GitOid, WorkspacePath>, BaseError> {
    Ok(read(&store.join(STATE))?.paths)
}

/// Name of the file with a store's [`Contents`].
const STATE: &str = "custody.json";

fn read(state: &Path) -> Result<Contents, BaseError> {
    match std::fs::read(state) {
        Ok(bytes) => at(state, serde_json::from_slice(&bytes).map_err(Into::into)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Contents::default()),
        Err(error) => at(state, Err(error)),
    }
}

/// Where git looks for an object that is in no pack.
fn loose(store: &Path, blob: &GitOid) -> std::path::PathBuf {
    let (directory, name) = blob.as_str().split_at(2);
    store.join(directory).join(name)
}

/// Puts an empty file in the place of each withheld blob, and takes away those of blobs that no longer are.
fn hold_places(
    store: &Path,
    withheld: &BTreeSet<GitOid>,
    released: &BTreeSet<GitOid>,
) -> Result<(), BaseError> {
    for blob in withheld {
        let path = loose(store, blob);
        if path.exists() {
            continue;
        }
        if let Some(directory) = path.parent() {
            at(directory, std::fs::create_dir_all(directory))?;
        }
        at(&path, std::fs::write(&path, ""))?;
        let mode = std::fs::Permissions::from_mode(WITHHELD_MODE);
        at(&path, std::fs::set_permissions(&path, mode))?;
    }
    for blob in released {
        let path = loose(store, blob);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return at(&path, Err(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Brings the history of the request's commit, and those of the submodules, into the store.
///
/// The caller holds the lock of the rules.
pub(super) fn bring(
    request: &BaseRequest<'_>,
    submodules: &[Submodule],
    store: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), BaseError> {
    let pack = store.join("pack");
    at(&pack, std::fs::create_dir_all(&pack))?;
    let state = store.join(STATE);
    let mut contents = read(&state)?;
    let git = request.mirror.git();
    // A store from before paths were kept, or places held.
    if contents.withheld.iter().any(|blob| !contents.paths.contains_key(blob)) {
        progress(Progress::Examining);
        for tip in &contents.tips {
            let tip = (&WorkspacePath::root(), tip);
            let placed = history::examine(&git, request.rules, tip, &[])?;
            let denied = placed.denied.into_iter();
            contents.paths.extend(denied.filter(|(blob, _)| contents.withheld.contains(blob)));
        }
        hold_places(store, &contents.withheld, &BTreeSet::new())?;
        write(store, &state, &contents)?;
    }
    bring_one(request, (&WorkspacePath::root(), request.commit), &mut contents, store, progress)?;
    for one in submodules.iter().filter(|one| one.absent.is_none()) {
        bring_one(request, (&one.path, &one.commit), &mut contents, store, progress)?;
    }
    Ok(())
}

/// Brings the history of one commit, of the repository that stands at a path of the workspace.
fn bring_one(
    request: &BaseRequest<'_>,
    (root, commit): (&WorkspacePath, &GitOid),
    contents: &mut Contents,
    store: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), BaseError> {
    let (git, state) = (request.mirror.git(), store.join(STATE));
    let known: Vec<GitOid> = match root.is_root() {
        true => contents.tips.clone(),
        // At another path other files are denied.
        false => {
            let there = contents.submodules.iter().filter(|(path, _)| path == root);
            there.map(|(_, commit)| commit.clone()).collect()
        }
    };
    if known.contains(commit) {
        return Ok(());
    }
    progress(Progress::Examining);
    let Placed { allowed, mut denied } =
        history::examine(&git, request.rules, (root, commit), &known)?;
    denied.retain(|blob, _| !contents.withheld.contains(blob));
    // What stood at an allowed path before is in the store already.
    let there = present(&git.clone().with_objects_only(store), denied.keys())?;
    denied.retain(|blob, _| !there.contains(blob));
    let released: BTreeSet<_> =
        contents.withheld.iter().filter(|blob| allowed.contains(*blob)).cloned().collect();
    contents.withheld.retain(|blob| !released.contains(blob));
    contents.withheld.extend(denied.keys().cloned());
    contents.paths.extend(denied);
    contents.paths.retain(|blob, _| contents.withheld.contains(blob));

    progress(Progress::Packing);
    let mut wanted = format!("{commit}\n");
    if root.is_root() {
        for tag in merged_tags(&git, commit)? {
            wanted.push_str(&format!("{}\n", tag.object));
        }
    }
    for tip in contents.tips.iter().chain(contents.submodules.iter().map(|(_, commit)| commit)) {
        wanted.push_str(&format!("^{tip}\n"));
    }
    let words = ["rev-list", "--objects", "--no-object-names", "--stdin"];
    let listed = git.run_with_input(&words, wanted.as_bytes())?;
    let mut packed = Vec::with_capacity(listed.len());
    for line in listed.split_inclusive(|b| *b == b'\n') {
        let known = std::str::from_utf8(line.trim_ascii_end()).ok();
        let oid = known.and_then(|text| text.parse::<GitOid>().ok());
        if oid.is_some_and(|oid| !contents.withheld.contains(&oid)) {
            packed.extend_from_slice(line);
        }
    }
    for blob in &released {
        packed.extend_from_slice(format!("{blob}\n").as_bytes());
    }
    if !packed.is_empty() {
        let target = store.join("pack").join("pack");
        let words = ["pack-objects", "--quiet", "--delta-base-offset", "--threads=2"];
        let mut words: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
        words.push(target.as_os_str());
        let _name = git.run_with_input(&words, &packed)?;
    }
    hold_places(store, &contents.withheld, &released)?;
    match root.is_root() {
        true => contents.tips.push(commit.clone()),
        false => contents.submodules.push((root.clone(), commit.clone())),
    }
    write(store, &state, contents)
}

fn write(store: &Path, state: &Path, contents: &Contents) -> Result<(), BaseError> {
    let bytes = at(state, serde_json::to_vec(contents).map_err(Into::into))?;
    let next = store.join("custody.json.next");
    at(&next, std::fs::write(&next, bytes))?;
    at(&next, std::fs::File::open(&next).and_then(|file| file.sync_all()))?;
    at(state, std::fs::rename(&next, state))
}

/// Which of these objects a repository has.
fn present<'a>(
    git: &Git,
    objects: impl Iterator<Item = &'a GitOid>,
) -> Result<BTreeSet<GitOid>, BaseError> {
    let mut asked = String::new();
    for object in objects {
        asked.push_str(&format!("{object}\n"));
    }
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let answer = git.run_with_input(&["cat-file", "--batch-check"], asked.as_bytes())?;
    let answer = String::from_utf8_lossy(&answer);
    let found = answer.lines().filter(|line| !line.ends_with(" missing"));
    Ok(found.filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
}

/// A tag of the source whose commit the base has in its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MergedTag {
    /// Its name, as in `v1.0`.
    pub(super) name: String,
    /// What it points at: a commit, or an annotated tag …
    pub(super) object: GitOid,
    /// … and then the commit.
    pub(super) peeled: Option<GitOid>,
}

/// A branch of the source, as it is called inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    /// Its full name inside, as in `refs/heads/main` or `refs/remotes/origin/main`.
    pub(super) name: String,
    /// Where it points.
    pub(super) commit: GitOid,
}

/// The source's branches that a session sees: what it starts from is compared with them (`git diff main...HEAD`).
///
/// Those in the base's history; and where nothing is denied, so that all objects are there, the others too.
pub(super) fn branches(request: &BaseRequest<'_>) -> Result<Vec<Branch>, BaseError> {
    let merged = format!("--merged={}", request.commit);
    let limit = format!("--count={MAX_BRANCHES}");
    let mut words = vec!["for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", &limit];
    if request.rules.denies() {
        words.push(&merged);
    }
    words.extend(["refs/sources/heads", "refs/sources/remotes"]);
    let listed = request.mirror.git().run(&words)?;
    let listed = String::from_utf8_lossy(&listed);
    let branch = |line: &str| {
        let (commit, name) = line.split_once(' ')?;
        let own = name.strip_prefix("heads/").is_some_and(|name| {
            // The session's own branch, and names for which it leaves no room.
            name == BRANCH_INSIDE || name.starts_with(&format!("{BRANCH_INSIDE}/"))
        });
        let commit = commit.parse().ok()?;
        (!own).then(|| Branch { name: format!("refs/{name}"), commit })
    };
    Ok(listed.lines().filter_map(branch).collect())
}

/// Tags that lie in the history of a commit: `git describe` works with them.
pub(super) fn merged_tags(git: &Git, commit: &GitOid) -> Result<Vec<MergedTag>, BaseError> {
    let merged = format!("--merged={commit}");
    let format = "--format=%(objectname) %(*objectname) %(refname:lstrip=3)";
    let listed = git.run(&["for-each-ref", format, &merged, "refs/sources/tags"])?;
    let listed = String::from_utf8_lossy(&listed);
    let tag = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (object, peeled, name) = (words.next()?, words.next()?, words.next()?);
        let (object, name) = (object.parse().ok()?, name.to_owned());
        Some(MergedTag { name, object, peeled: peeled.parse().ok() })
    };
    Ok(listed.lines().filter_map(tag).collect())
}
