//! The `.git` of a base checkout: small, its objects borrowed from the shared store.

use std::fmt::Write as _;
use std::path::Path;

use custody_model::WorkspacePath;

use super::objects::{self, Branch, MergedTag};
use super::{BRANCH_INSIDE, BaseError, BaseRequest, OBJECTS_INSIDE, at};

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
    // Git would try to list what lies there and complain about each refusal.
    let mut excluded = Vec::new();
    for path in denied {
        excluded.push(b'/');
        for byte in path.as_bytes() {
            if matches!(byte, b'*' | b'?' | b'[' | b'\\' | b' ' | b'!' | b'#') {
                excluded.push(b'\\');
            }
            excluded.push(*byte);
        }
        excluded.push(b'\n');
    }
    let path = git_dir.join("info/exclude");
    at(&path, std::fs::write(&path, excluded))?;
    // A history that is cut off in the mirror is cut off inside.
    let shallow = request.mirror.git_dir().join("shallow");
    if shallow.exists() {
        at(&shallow, std::fs::copy(&shallow, git_dir.join("shallow")))?;
    }
    Ok(())
}

fn configuration(request: &BaseRequest<'_>) -> String {
    let sha256 = request.commit.as_str().len() == 64;
    let version = u8::from(sha256);
    let quoted = |text: &str| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\0'], " ");
        format!("\"{escaped}\"")
    };
    let mut text = format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n\
         \tlogallrefupdates = true\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n\
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
