//! The submodules of a base: which are checked out, where their git directories and indexes are, and how they are kept.

use std::path::{Path, PathBuf};

use custody_model::{Digest, WorkspacePath};
use custody_policy::{PathRules, Treatment};

use super::{BaseError, at};
use crate::mirror::Submodule;

/// Name of the directory with their list and their indexes.
const MODULES: &str = "modules";

/// What a base's name has before the digest of its submodules.
const SUFFIX: &str = "-s";

/// As the rules leave them: nothing of a submodule is there whose directory, or one above, is denied.
pub(super) fn under(rules: &PathRules, mut submodules: Vec<Submodule>) -> Vec<Submodule> {
    let mut denied: Vec<WorkspacePath> = Vec::new();
    for one in &mut submodules {
        let inside = denied.iter().any(|above| one.path.starts_with(above));
        if inside || rules.treatment(&one.path).treatment == Treatment::Deny {
            denied.push(one.path.clone());
            one.absent = Some("a rule denies its directory".to_owned());
        }
    }
    submodules
}

/// What a base's name ends in: another one for other submodules that are there.
pub(super) fn suffix(submodules: &[Submodule]) -> String {
    let there = submodules.iter().filter(|one| one.absent.is_none());
    let mut text = Vec::new();
    for one in there {
        text.extend_from_slice(one.commit.as_str().as_bytes());
        text.extend_from_slice(one.path.as_bytes());
        text.push(0);
    }
    match text.is_empty() {
        true => String::new(),
        false => format!("{SUFFIX}{}", &Digest::of(&text).hex()[..8]),
    }
}

/// The end of a base's name without the part of its submodules.
pub(super) fn without_suffix(name: &str) -> &str {
    name.rsplit_once(SUFFIX).map_or(name, |(before, _)| before)
}

/// The git directory of the repository that stands there, as a path in the workspace.
pub(crate) fn git_dir(root: &WorkspacePath) -> PathBuf {
    match root.is_root() {
        true => PathBuf::from(".git"),
        false => Path::new(".git/modules").join(root.as_path()),
    }
}

/// Where a base keeps the index of a submodule's commit.
pub(super) fn index(
    directory: &Path,
    submodules: &[Submodule],
    submodule: &WorkspacePath,
) -> PathBuf {
    let number = submodules.iter().take_while(|one| one.path != *submodule).count();
    directory.join(MODULES).join(format!("{number}.index"))
}

/// Keeps the list.
pub(super) fn save(directory: &Path, submodules: &[Submodule]) -> Result<(), BaseError> {
    if submodules.is_empty() {
        return Ok(());
    }
    let modules = directory.join(MODULES);
    at(&modules, std::fs::create_dir_all(&modules))?;
    let path = modules.join("list.json");
    let bytes = at(&path, serde_json::to_vec(submodules).map_err(Into::into))?;
    at(&path, std::fs::write(&path, bytes))
}

/// The list that was kept.
pub(super) fn load(directory: &Path) -> Result<Vec<Submodule>, BaseError> {
    let path = directory.join(MODULES).join("list.json");
    match std::fs::read(&path) {
        Ok(bytes) => at(&path, serde_json::from_slice(&bytes).map_err(Into::into)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => at(&path, Err(error)),
    }
}
