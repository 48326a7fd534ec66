//! What a history holds, path by path: which blobs stand only where a rule denies.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;

use custody_model::{GitOid, WorkspacePath};
use custody_policy::{PathRules, Treatment};

use crate::gate::LINK_MODE;
use crate::git::{Git, GitError};
use crate::mirror::below;

/// The blobs of a part of a history, by where they stand.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// At some time at a path that is not denied.
    pub(super) allowed: HashSet<GitOid>,
    /// Only ever at denied paths, with one of them.
    pub(super) denied: HashMap<GitOid, WorkspacePath>,
}

/// Looks through every change of every commit that `commit` reaches and `known` do not. `root` is where the repository stands in
/// the workspace.
pub(super) fn examine(
    git: &Git,
    rules: &PathRules,
    (root, commit): (&WorkspacePath, &GitOid),
    known: &[GitOid],
) -> Result<Placed, GitError> {
    let mut tips = format!("{commit}\n");
    for tip in known {
        tips.push_str(&format!("^{tip}\n"));
    }
    let commits = git.run_with_input(&["rev-list", "--stdin"], tips.as_bytes())?;
    let mut placed = Placed::default();
    if commits.is_empty() {
        return Ok(placed);
    }
    // Each merge against each of its parents; each first commit against nothing.
    let words = ["diff-tree", "--stdin", "-r", "-m", "--root", "-z", "--raw", "--no-renames"];
    let words = [&words[..], &["--no-abbrev", "--no-commit-id", "--no-ext-diff"]].concat();
    git.stream(&words, &commits, |output| read_changes(output, rules, root, &mut placed))?;
    let Placed { allowed, denied } = &mut placed;
    denied.retain(|blob, _| !allowed.contains(blob));
    Ok(placed)
}

/// Reads git's raw diff format with `-z`: `:mode mode oid oid status`, NUL, path, NUL.
fn read_changes(
    output: &mut dyn BufRead,
    rules: &PathRules,
    root: &WorkspacePath,
    placed: &mut Placed,
) -> std::io::Result<()> {
    let malformed = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not git's raw diff");
    let (mut head, mut path) = (Vec::new(), Vec::new());
    loop {
        head.clear();
        path.clear();
        if output.read_until(0, &mut head)? == 0 {
            return Ok(());
        }
        output.read_until(0, &mut path)?;
        if path.pop() != Some(0) || head.pop() != Some(0) {
            return Err(malformed());
        }
        let text = std::str::from_utf8(&head).map_err(|_| malformed())?;
        let mut fields = text.split(' ');
        let (_, mode, _, oid) = (fields.next(), fields.next(), fields.next(), fields.next());
        match mode {
            // Gone, or a submodule: no blob.
            Some("000000" | LINK_MODE) => continue,
            Some(_) => {}
            None => return Err(malformed()),
        }
        let blob: GitOid = oid.and_then(|oid| oid.parse().ok()).ok_or_else(malformed)?;
        let path = below(root, &path);
        match rules.treatment_of_bytes(&path).treatment {
            Treatment::Deny => {
                // A path that is too long for a checkout stands in its root.
                let path = WorkspacePath::from_bytes(&path).unwrap_or_default();
                placed.denied.entry(blob).or_insert(path);
            }
            Treatment::ReadOnly | Treatment::ReadWrite => {
                placed.allowed.insert(blob);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_changes(&mut bytes.as_slice(), &PathRules::default(), &WorkspacePath::root(), &mut Placed::default());
        }
    }
}
