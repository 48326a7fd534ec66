//! The rules, compiled against a base tree into the few paths where the guard has to lie.

use std::collections::HashSet;

use custody_model::WorkspacePath;
use custody_policy::{PathRules, Treatment};

use crate::base::Manifest;

/// Most guarded paths that are mounted one by one unless the configuration says otherwise: each is a mount.
pub const MAX_GUARDED_PATHS: usize = 512;

/// A name that no repository has and no rule names: what a rule says about it, it says about any new name.
const ANY_NAME: &[u8] = b"\x01custody any name";

/// A place where the guard lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardedPath {
    /// Where.
    pub path: WorkspacePath,
    /// It is a directory: everything below is the guard's to decide.
    pub directory: bool,
}

/// The topmost guarded paths of a base tree, sorted; none lies below another.
///
/// A directory is guarded if a rule says so about itself or about whatever is directly in it (`secrets/**`).
#[must_use]
pub fn guarded_paths(rules: &PathRules, manifest: &Manifest) -> Vec<GuardedPath> {
    let mut found = Vec::new();
    if !rules.has_guards() {
        return found;
    }
    let mut free = HashSet::new();
    let mut guarded = HashSet::new();
    'entries: for entry in manifest.entries() {
        let path = entry.path.as_bytes();
        let mut ends: Vec<_> = (0..path.len()).filter(|at| path[*at] == b'/').collect();
        ends.push(path.len());
        for end in ends {
            let part = &path[..end];
            if guarded.contains(part) {
                continue 'entries;
            }
            if free.contains(part) {
                continue;
            }
            let directory = end < path.len() || entry.kind == crate::base::EntryKind::Submodule;
            let own = rules.treatment_of_bytes(part).treatment.is_guarded();
            let any = directory && {
                let child = [part, b"/", ANY_NAME].concat();
                rules.treatment_of_bytes(&child).treatment.is_guarded()
            };
            if own || any {
                guarded.insert(part);
                // A part of a workspace path is one.
                if let Ok(path) = WorkspacePath::from_bytes(part) {
                    found.push(GuardedPath { path, directory });
                }
                continue 'entries;
            }
            free.insert(part);
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The topmost path, at or above `path`, that the rules deny.
pub(crate) fn topmost_denied(rules: &PathRules, path: &WorkspacePath) -> Option<WorkspacePath> {
    let bytes = path.as_bytes();
    (0..=bytes.len())
        .filter(|at| bytes.get(*at).is_none_or(|b| *b == b'/'))
        .find(|end| rules.treatment_of_bytes(&bytes[..*end]).treatment == Treatment::Deny)
        .and_then(|end| WorkspacePath::from_bytes(&bytes[..end]).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{EntryKind, ManifestEntry};

    fn manifest(paths: &[&str]) -> Manifest {
        let entry = |path: &&str| ManifestEntry {
            path: path.parse().unwrap(),
            kind: EntryKind::File,
            blob: "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391".parse().unwrap(),
            size: 0,
            withheld: false,
        };
        Manifest::new(paths.iter().map(entry).collect())
    }

    fn guarded(rules: &str, paths: &[&str]) -> Vec<String> {
        let rules: PathRules = serde_json::from_str(rules).unwrap();
        let found = guarded_paths(&rules, &manifest(paths));
        found.iter().map(|found| found.path.to_string()).collect()
    }

    #[test]
    fn a_guarded_directory_covers_what_is_below() {
        let paths = ["a/x", "secrets/deep/b", "secrets/key", "src/secrets.rs"];
        assert_eq!(guarded(r#"[{"deny": "secrets/"}]"#, &paths), ["secrets"]);
        assert_eq!(guarded(r#"[{"deny": "/secrets/**"}]"#, &paths), ["secrets"]);
    }

    #[test]
    fn a_pattern_for_files_guards_only_the_files() {
        let paths = ["certs/a.pem", "certs/readme", "b.pem"];
        assert_eq!(guarded(r#"[{"deny": "*.pem"}]"#, &paths), ["b.pem", "certs/a.pem"]);
    }

    #[test]
    fn without_guarding_rules_there_is_no_guard() {
        assert!(guarded(r#"[{"read_write": "*"}]"#, &["a"]).is_empty());
    }
}
