//! The `.git` of a base checkout: small, its objects borrowed from the shared store.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use custody_model::WorkspacePath;

use super::objects::{self, Branch, MergedTag};
use super::{
    BRANCH_INSIDE, BaseError, BaseRequest, EntryKind, ManifestEntry, OBJECTS_INSIDE, at, submodules,
};
use crate::git::GitError;
use crate::mirror::Submodule;

/// Writes everything but the index.
pub(super) fn write(
    request: &BaseRequest<'_>,
    git_dir: &Path,
    denied: &[WorkspacePath],
) -> Result<(), BaseError> {
    let tags = objects::merged_tags(&request.mirror.git(), request.commit)?;
    let branches = objects::branches(request)?;
    for directory in ["hooks", "info", "objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        let path = git_dir.join(directory);
        at(&path, std::fs::create_dir_all(&path))?;
    }
    let commit = request.commit;
    for (name, content) in [
        ("HEAD", format!("ref: refs/heads/{BRANCH_INSIDE}\n")),
        (&format!("refs/heads/{BRANCH_INSIDE}"), format!("{commit}\n")),
        ("config", configuration(request)),
        ("objects/info/alternates", format!("{OBJECTS_INSIDE}\n")),
        ("packed-refs", packed(&tags, &branches)),
    ] {
        let path = git_dir.join(name);
        at(&path, std::fs::write(&path, content))?;
    }
    exclude(git_dir, denied.iter().map(WorkspacePath::as_bytes))?;
    // A history that is cut off in the mirror is cut off inside.
    let shallow = request.mirror.git_dir().join("shallow");
    if shallow.exists() {
        at(&shallow, std::fs::copy(&shallow, git_dir.join("shallow")))?;
    }
    Ok(())
}

/// Git would try to list what lies there and complain about each refusal.
fn exclude<'a>(git_dir: &Path, denied: impl Iterator<Item = &'a [u8]>) -> Result<(), BaseError> {
    let mut excluded = Vec::new();
    for path in denied {
        excluded.push(b'/');
        for byte in path {
            if matches!(byte, b'*' | b'?' | b'[' | b'\\' | b' ' | b'!' | b'#') {
                excluded.push(b'\\');
            }
            excluded.push(*byte);
        }
        excluded.push(b'\n');
    }
    let path = git_dir.join("info/exclude");
    at(&path, std::fs::write(&path, excluded))
}

/// Writes everything but the index of a submodule's git directory, below that of the repository around it, and the `.git` file
/// that leads there: its entry.
pub(super) fn write_submodule(
    request: &BaseRequest<'_>,
    tree: &Path,
    submodule: &Submodule,
    denied: &[WorkspacePath],
) -> Result<ManifestEntry, BaseError> {
    let path = submodule.path.as_path();
    let inside = submodules::git_dir(&submodule.path);
    let git_dir = tree.join(&inside);
    for directory in ["hooks", "info", "objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        let directory = git_dir.join(directory);
        at(&directory, std::fs::create_dir_all(&directory))?;
    }
    let up = |path: &Path| -> PathBuf { path.components().map(|_| "..").collect() };
    let mut text = configuration(request);
    let work_tree = quoted(&up(&inside).join(path).to_string_lossy());
    let _ = write!(text, "[core]\n\tworktree = {work_tree}\n");
    for (name, content) in [
        ("HEAD", format!("{}\n", submodule.commit)),
        ("config", text),
        ("objects/info/alternates", format!("{OBJECTS_INSIDE}\n")),
    ] {
        let file = git_dir.join(name);
        at(&file, std::fs::write(&file, content))?;
    }
    let root = submodule.path.as_bytes().len() + 1;
    exclude(&git_dir, denied.iter().filter_map(|path| path.as_bytes().get(root..)))?;
    let mut link = b"gitdir: ".to_vec();
    link.extend_from_slice(up(path).join(&inside).as_os_str().as_bytes());
    link.push(b'\n');
    let file = tree.join(path).join(".git");
    at(&file, std::fs::write(&file, &link))?;
    let blob = request.mirror.git().run_for_oid(&["hash-object", "--stdin"], &link)?;
    let named = submodule.path.join(b".git").map_err(|_| GitError::Answer {
        command: "ls-tree".to_owned(),
        what: format!("the path of the submodule {} is too long", submodule.path),
    })?;
    let size = link.len() as u64;
    Ok(ManifestEntry { path: named, kind: EntryKind::File, blob, size, withheld: false })
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\0'], " ");
    format!("\"{escaped}\"")
}

fn configuration(request: &BaseRequest<'_>) -> String {
    let sha256 = request.commit.as_str().len() == 64;
    let version = u8::from(sha256);
    let mut text = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n\
         \tlogallrefupdates = true\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[submodule]\n\tactive = .\n\
         [user]\n\tname = {}\n\temail = {}\n",
        quoted(&request.identity.name),
        quoted(&request.identity.email),
    );
    if sha256 {
        text.push_str("[extensions]\n\tobjectFormat = sha256\n");
    }
    text
}

fn packed(tags: &[MergedTag], branches: &[Branch]) -> String {
    let mut tags = tags.to_vec();
    tags.sort_by(|a, b| a.name.cmp(&b.name));
    let mut branches = branches.to_vec();
    branches.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    for Branch { name, commit } in branches {
        let _ = writeln!(text, "{commit} {name}");
    }
    for tag in tags {
        let _ = writeln!(text, "{} refs/tags/{}", tag.object, tag.name);
        if let Some(peeled) = tag.peeled {
            let _ = writeln!(text, "^{peeled}");
        }
    }
    text
}
