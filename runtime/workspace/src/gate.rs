//! The output gate: what a rule forbids gets into no commit of a session, whatever happened inside.

use custody_model::{GitOid, WorkspacePath};
use custody_policy::{PathRules, Treatment};
use custody_record::event::PolicyViolated;

use crate::git::{Git, GitError};

/// The rule's name for what no rule of the policy says, but the gate.
pub const GATE_RULE: &str = "outputs";

/// Git's mode of a submodule.
pub(crate) const LINK_MODE: &str = "160000";

/// One path that differs between two trees, as git's raw diff tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) path: WorkspacePath,
    /// Git's mode before, in octal digits; `000000` if there was nothing.
    pub(crate) old_mode: String,
    /// Git's mode after; `000000` if there is nothing.
    pub(crate) new_mode: String,
    /// The object before; absent if there was nothing.
    pub(crate) old: Option<GitOid>,
    /// The object after; absent if there is nothing.
    pub(crate) new: Option<GitOid>,
}

impl Change {
    pub(crate) fn is_addition(&self) -> bool {
        self.old_mode == "000000"
    }
}

/// What differs from `parent` (nothing at all, if it is absent) to `commit`.
pub(crate) fn changes(
    git: &Git,
    parent: Option<&GitOid>,
    commit: &GitOid,
) -> Result<Vec<Change>, GitError> {
    let options =
        ["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-commit-id"];
    let mut words = options.to_vec();
    match parent {
        Some(parent) => words.extend([parent.as_str(), commit.as_str()]),
        None => words.extend(["--root", commit.as_str()]),
    }
    let raw = git.run(&words)?;
    parse_changes(&raw).ok_or_else(|| GitError::Answer {
        command: words.join(" "),
        what: "it is not git's raw diff format".to_owned(),
    })
}

fn parse_changes(raw: &[u8]) -> Option<Vec<Change>> {
    let mut fields = raw.split(|b| *b == 0);
    let mut found = Vec::new();
    while let Some(head) = fields.next().filter(|head| !head.is_empty()) {
        let path = WorkspacePath::from_bytes(fields.next()?).ok()?;
        let mut words = std::str::from_utf8(head).ok()?.strip_prefix(':')?.split(' ');
        let (old_mode, new_mode) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (old, new) = (words.next()?, words.next()?);
        let old = if old_mode == "000000" { None } else { Some(old.parse().ok()?) };
        let new = if new_mode == "000000" { None } else { Some(new.parse().ok()?) };
        found.push(Change { path, old_mode, new_mode, old, new });
    }
    Some(found)
}

/// Why a change of `path` may not get out, if it may not. `what` tells how it came about.
pub(crate) fn judge(rules: &PathRules, path: &WorkspacePath, what: &str) -> Option<PolicyViolated> {
    let ruling = rules.treatment(path);
    let word = match ruling.treatment {
        Treatment::ReadWrite => return None,
        Treatment::ReadOnly => "read-only",
        Treatment::Deny => "denied",
    };
    Some(PolicyViolated {
        path: path.clone(),
        rule: ruling.rule.to_owned(),
        what: format!("{what}; the path is {word}, so it stays out of the outputs"),
    })
}

/// A violation of what the gate itself holds.
pub(crate) fn violation(path: &WorkspacePath, what: impl Into<String>) -> PolicyViolated {
    PolicyViolated { path: path.clone(), rule: GATE_RULE.to_owned(), what: what.into() }
}

/// What is wrong with the changes of one commit that a process inside made. Of each change: whether it is one of a submodule that
/// may get out.
pub(crate) fn judge_commit(
    rules: &PathRules,
    commit: &GitOid,
    changes: &[(&Change, bool)],
) -> Vec<PolicyViolated> {
    let mut found = Vec::new();
    for (change, known_link) in changes {
        let what = format!("commit {} of the agent changes it", commit.short());
        if let Some(violated) = judge(rules, &change.path, &what) {
            found.push(violated);
        } else if !known_link && (change.new_mode == LINK_MODE || change.old_mode == LINK_MODE) {
            found.push(violation(&change.path, format!("{what}, and it is a submodule")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_changes(&bytes);
        }
    }

    #[test]
    fn a_path_may_be_any_bytes() {
        let oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let mut raw = format!(":100644 100755 {oid} {oid} M\0").into_bytes();
        raw.extend_from_slice(b"a\n\xff\0");
        let found = parse_changes(&raw).unwrap();
        assert_eq!(found[0].path.as_bytes(), b"a\n\xff");
        assert_eq!(found[0].new_mode, "100755");
    }
}
