//! What comes out beside the session's branch: the refs that it made or moved, each of which has to pass the gate.

use std::collections::HashSet;

use custody_model::GitOid;
use custody_record::event::{CommitAuthor, CreatedRef, PolicyViolated};

use super::import::BroughtRef;
use super::unit::Unit;
use super::{CreatedCommit, OutputError, commits, size};
use crate::gate::{Change, violation};
use crate::git::{Git, GitError};

/// Those of the refs whose every new commit passes the gate; the others are told.
pub(super) fn gated(
    unit: &Unit<'_>,
    git: &Git,
    brought: Vec<BroughtRef>,
    violations: &mut Vec<PolicyViolated>,
) -> Result<Vec<BroughtRef>, OutputError> {
    let mut passed: HashSet<GitOid> = HashSet::new();
    let mut gated = Vec::new();
    for one in brought {
        let mut found = Vec::new();
        for commit in &one.commits {
            if passed.contains(commit) {
                continue;
            }
            let changes = since(unit, git, commit)?;
            let mut refused = unit.judged(commit, &changes)?;
            refused.extend(size::too_large(unit.request, git, &changes)?);
            if refused.is_empty() {
                passed.insert(commit.clone());
            }
            found.extend(refused);
        }
        if found.is_empty() {
            gated.push(one);
            continue;
        }
        let what = format!(
            "{} ({}) is not kept, because the gate refuses a change in it",
            one.moved.inside,
            one.moved.object.short()
        );
        violations.push(violation(&unit.dot_git(), what));
        found.retain(|violated| !violations.contains(violated));
        violations.extend(found);
    }
    Ok(gated)
}

/// What a commit holds that differs from where its line of history left the base's. Against that, and not against a parent:
/// see [`super::branch`]. What a history that has nothing in common with the base lacks is not removed by it.
fn since(unit: &Unit<'_>, git: &Git, commit: &GitOid) -> Result<Vec<Change>, GitError> {
    let base = unit.base;
    let words = ["merge-base", "--all", base.as_str(), commit.as_str()];
    let listed = match git.run(&words) {
        Err(GitError::Failed { status, .. }) if status.code() == Some(1) => Vec::new(),
        listed => listed?,
    };
    let listed = String::from_utf8_lossy(&listed);
    let bases: Vec<GitOid> = listed.lines().filter_map(|line| line.parse().ok()).collect();
    if bases.is_empty() {
        let mut changes = unit.changes(git, Some(base), commit)?;
        changes.retain(|change| change.new.is_some());
        return Ok(changes);
    }
    let mut changes = Vec::new();
    for base in &bases {
        changes.extend(unit.changes(git, Some(base), commit)?);
    }
    Ok(changes)
}

/// Tells the commits of the refs that are not told yet. `told` are the branch's own.
pub(super) fn described(
    unit: &Unit<'_>,
    git: &Git,
    refs: &[BroughtRef],
    told: &[GitOid],
) -> Result<Vec<CreatedCommit>, GitError> {
    let mut told: HashSet<&GitOid> = told.iter().collect();
    let mut created = Vec::new();
    for one in refs {
        let name = one.moved.outside.trim_start_matches("refs/heads/");
        for commit in &one.commits {
            if told.insert(commit) {
                created.push(commits::describe(unit, git, commit, name, CommitAuthor::Agent)?);
            }
        }
    }
    Ok(created)
}

/// The refs as the last commit's event tells them.
pub(super) fn told(refs: &[BroughtRef]) -> Option<Vec<CreatedRef>> {
    let told = |one: &BroughtRef| CreatedRef {
        name: one.moved.outside.clone(),
        inside: one.moved.inside.clone(),
        object: one.moved.object.clone(),
    };
    (!refs.is_empty()).then(|| refs.iter().map(told).collect())
}
