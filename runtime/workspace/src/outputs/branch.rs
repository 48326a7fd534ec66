//! Makes the session's branch.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use custody_model::{GitOid, WorkspacePath};
use custody_record::SinkError;
use custody_record::event::{CommitAuthor, PolicyViolated};

use super::hidden::Hidden;
use super::import::{self, BroughtRef, Found};
use super::submodules::{self, Changed};
use super::unit::Unit;
use super::{
    BIG_FILE, Identity, OutputError, OutputRequest, Outputs, admission, commit_tree, commits, diff,
    others, size,
};
use crate::covers::{Covering, Covers};
use crate::gate::{self, violation};
use crate::git::{Git, GitError};
use crate::layer::Within;
use crate::worktree::{self, Different};

/// What came out, in a quarantine: nobody can fetch it yet.
#[derive(Debug)]
pub struct Prepared {
    /// It goes with this.
    _scratch: tempfile::TempDir,
    git: Git,
    /// What is to be recorded before [`Prepared::export`].
    pub outputs: Outputs,
}

/// Makes the session's branch `custody/<session>` in the mirror, or none if nothing changed that may get out.
///
/// `record` has to make durable what came out: it is called once, before the branch gets its name, because a branch that
/// others can fetch is an effect. If it fails there is no branch.
///
/// # Errors
/// [`OutputError`]; the mirror has no new branch then.
pub fn publish(
    request: &OutputRequest<'_>,
    record: &mut dyn FnMut(&Outputs) -> Result<(), SinkError>,
) -> Result<Outputs, OutputError> {
    let prepared = prepare(request)?;
    record(&prepared.outputs)?;
    prepared.export(request)?;
    Ok(prepared.outputs)
}

/// Makes the commits and the diff. What fails leaves nothing but what the record's blobs already have, and can be tried again.
///
/// Commits that the agent made are kept as they are if HEAD descends from the base and each of them passes the gate;
/// otherwise they are dropped, and what they changed and may change goes into Custody's one commit. That commit
/// is always the last one and carries the trailers `Custody-Session` and `Custody-Record`; it holds what stands
/// uncommitted in the workspace (untracked files too, ignored ones not), and may be empty. Every other ref that the session
/// made or moved (branches, tags, the stash, commits that only a reflog has) comes out beside it, if each of its commits passes
/// the gate.
///
/// What was changed in a submodule that is checked out becomes commits of the submodule's repository, in the same way and with a
/// branch of its own, and the branch has the submodule at the last of them.
/// What a nested repository holds comes out as plain files, without its history.
/// What stays out, with a violation for each: changes of read-only and denied paths, work trees that are linked to this
/// repository, files above the limit, what is made where a submodule's files are not there. Links are committed as links,
/// wherever they point.
///
/// # Errors
/// [`OutputError`].
pub fn prepare(request: &OutputRequest<'_>) -> Result<Prepared, OutputError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| OutputError::File { path, source }
    };
    let scratch = tempfile::tempdir_in(request.scratch).map_err(failed(request.scratch))?;
    let objects = scratch.path().join("objects");
    std::fs::create_dir(&objects).map_err(failed(&objects))?;
    let git = request.mirror.git().with_objects(&objects, &request.mirror.objects());
    let base = request.base.commit();
    let mut outputs = Outputs::default();

    let nothing = scratch.path().join("nothing");
    std::fs::create_dir(&nothing).map_err(failed(&nothing))?;
    let within = match request.base.submodules() {
        [] => Within::touched(request.layer).map_err(failed(request.layer))?,
        [_, ..] => Within::Everything,
    };
    let covering = Covering {
        root: request.clean_path,
        nothing: &nothing,
        pattern_file_bytes: request.limits.pattern_file_bytes,
        within: &within,
    };
    let covers = Covers::cover(covering, &mut outputs.violations)?;
    let linked = covers.nested().iter().filter(|nested| nested.linked);
    let linked: Vec<_> = linked.map(|nested| nested.path.clone()).collect();
    let mut making = Making {
        request,
        git: &git,
        scratch: scratch.path(),
        objects: &objects,
        linked: &linked,
        within: &within,
        left: request.limits.total_bytes,
        violations: &mut outputs.violations,
    };
    let submodules = submodules::changed(&mut making)?;
    let root = WorkspacePath::root();
    let mut unit = Unit::new(request, &root, base);
    unit.links = submodules::links(&submodules);
    let own = making.own_commits(&unit)?;
    let (tree_git, tree) = making.tree(&unit, &own.kept, &submodules)?;
    admission::behind_the_guard(request, &mut outputs.violations);
    admission::inner_histories(request, &tree_git, covers.nested(), &mut outputs.violations)?;
    let Own { kept, refs } = own;
    let parent = kept.last().unwrap_or(base).clone();
    let parent_tree = tree_of(&git, &parent)?;
    if tree == parent_tree && kept.is_empty() && refs.is_empty() && submodules.is_empty() {
        return Ok(Prepared { _scratch: scratch, git, outputs });
    }
    let commit = finish(&unit, &git, &tree, parent, &refs)?;

    let branch = format!("custody/{}", request.session);
    for one in &submodules {
        outputs.commits.extend(one.commits.iter().cloned());
    }
    outputs.commits.extend(others::described(&unit, &git, &refs, &kept)?);
    for own in &kept {
        outputs.commits.push(commits::describe(&unit, &git, own, &branch, CommitAuthor::Agent)?);
    }
    let mut last = commits::describe(&unit, &git, &commit, &branch, CommitAuthor::Custody)?;
    last.event.refs = others::told(&refs);
    last.event.submodules =
        (!submodules.is_empty()).then(|| submodules.iter().map(|one| one.told.clone()).collect());
    outputs.commits.push(last);
    let (before, after) = submodules::unfolded(&git, scratch.path(), base, &commit, &submodules)?;
    let asked = diff::Asked {
        git: &git,
        before: &before,
        after: &after,
        commit: &commit,
        scratch: scratch.path(),
    };
    outputs.diff = Some(diff::store(&asked, &request.limits, request.blobs)?);
    outputs.branch = Some(branch);
    outputs.head = Some(commit);
    Ok(Prepared { _scratch: scratch, git, outputs })
}

/// The tree of a commit.
pub(super) fn tree_of(git: &Git, commit: &GitOid) -> Result<GitOid, GitError> {
    git.run_for_oid(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")], &[])
}

/// Custody's commit of a tree.
pub(super) fn finish(
    unit: &Unit<'_>,
    git: &Git,
    tree: &GitOid,
    parent: GitOid,
    refs: &[BroughtRef],
) -> Result<GitOid, OutputError> {
    let request = unit.request;
    let subject = request.subject.replace(|c: char| c.is_control(), " ");
    let mut message = format!(
        "{}\n\nCustody-Session: {}\nCustody-Record: {}\n",
        subject.trim(),
        request.session,
        request.record_root,
    );
    for BroughtRef { moved, .. } in refs {
        // What somebody called a branch may be a credential: the object says which it is, and the message is for people.
        let redacted = request.redactor.redact(&moved.outside);
        let name = redacted.map_or_else(|| moved.outside.clone(), |(clean, _)| clean);
        message.push_str(&format!("Custody-Ref: {} {name}\n", moved.object));
    }
    let by = (request.author, &Identity::custody());
    let commit = commit_tree(git, tree, &[parent], &message, by, request.time)?;
    // The last word: whatever went before, nothing that a rule forbids differs from the base.
    for change in unit.changes(git, Some(unit.base), &commit)? {
        if let Some(violated) = gate::judge(request.rules, &change.path, "it got past the gate") {
            let path = request.clean_path.join(change.path.as_path());
            let source = std::io::Error::other(violated.what);
            return Err(OutputError::File { path, source });
        }
    }
    Ok(commit)
}

/// What the agent committed and may get out.
pub(super) struct Own {
    /// For the branch, oldest first; none if one of them can't be kept.
    pub(super) kept: Vec<GitOid>,
    /// Beside it.
    pub(super) refs: Vec<BroughtRef>,
}

/// What making the outputs needs, whichever repository of the workspace they are of.
pub(super) struct Making<'a> {
    pub(super) request: &'a OutputRequest<'a>,
    /// In the quarantine.
    pub(super) git: &'a Git,
    pub(super) scratch: &'a Path,
    pub(super) objects: &'a Path,
    /// Work trees that are linked to another repository.
    pub(super) linked: &'a [WorkspacePath],
    /// Where anything may differ from the base.
    pub(super) within: &'a Within,
    /// How many bytes may still get out.
    pub(super) left: u64,
    pub(super) violations: &'a mut Vec<PolicyViolated>,
}

impl Making<'_> {
    /// The agent's own commits in a repository.
    pub(super) fn own_commits(&mut self, unit: &Unit<'_>) -> Result<Own, OutputError> {
        let (git, dot_git) = (self.git, unit.dot_git());
        let brought = import::bring(unit, self.scratch, self.objects)?;
        let mut refs = brought.refs;
        let kept = match brought.head {
            Found::Nothing => Vec::new(),
            Found::Commits(own) => {
                let found = judged(unit, git, &own)?;
                // The branch has it, or the gate refuses it: that is told once.
                let head = own.last();
                refs.retain(|one| {
                    Some(&one.moved.object) != head
                        || (found.is_empty() && one.moved.inside != brought.head_is)
                });
                if found.is_empty() {
                    own
                } else {
                    let what = "the agent's own commits are not kept, because the gate refuses a change in them";
                    self.violations.push(violation(&dot_git, what));
                    self.violations.extend(found);
                    Vec::new()
                }
            }
            Found::Unusable(why) => {
                let what = format!("the agent's own commits are not kept on the branch: {why}");
                self.violations.push(violation(&dot_git, what));
                Vec::new()
            }
        };
        self.violations.extend(brought.left.into_iter().map(|what| violation(&dot_git, what)));
        let refs = others::gated(unit, git, refs, self.violations)?;
        Ok(Own { kept, refs })
    }

    /// What stands in the work tree of a repository, with submodules as they come out; and git with the index that has it.
    pub(super) fn tree(
        &mut self,
        unit: &Unit<'_>,
        kept: &[GitOid],
        submodules: &[Changed],
    ) -> Result<(Git, GitOid), OutputError> {
        let (request, git) = (self.request, self.git);
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| OutputError::File { path, source }
        };
        let directory = tempfile::tempdir_in(self.scratch).map_err(failed(self.scratch))?.keep();
        let index = directory.join("index");
        let from = match unit.root.is_root() {
            true => request.base.index(),
            false => request.base.submodule_index(unit.root),
        };
        std::fs::copy(&from, &index).map_err(failed(&from))?;
        let root = request.clean_path.join(unit.root.as_path());
        // What is made here is packed once more for the mirror.
        let tree_git = git
            .clone()
            .with_index(&index)
            .with_work_tree(&root)
            .with_configuration(BIG_FILE.0, BIG_FILE.1)
            .with_configuration("core.compression", "1");
        let parent = kept.last().unwrap_or(unit.base);
        let own = match kept {
            [] => Vec::new(),
            [..] => gate::changes(git, Some(unit.base), parent)?,
        };
        worktree::change_index(&tree_git, &own, unit.base.as_str().len())?;
        // Some of what was committed may be in git's objects alone.
        let within = self.within.clone().and(own.iter().map(|change| change.path.clone()));
        let part = worktree::part_of_index(&tree_git, &directory.join("part"), &within)?;
        let mut taken = Vec::new();
        let hidden = Hidden::read(unit);
        let linked: Vec<_> =
            self.linked.iter().filter_map(|linked| below_root(unit.root, linked)).collect();
        let mut differences = worktree::differences(&part, &linked, &within)?;
        let (moved, gone) = submodules::links_in(unit, &tree_git, submodules)?;
        differences.extend(gone);
        for different in differences {
            let path = unit.whole(&different.path)?;
            let whole = Different { path, how: different.how };
            let both = (&different.path, &whole);
            if admission::stays(request, both, &hidden, !kept.is_empty(), self.violations) {
                continue;
            }
            match admission::refused(request, &whole, &mut self.left) {
                Some(violated) => self.violations.push(violated),
                None => taken.push(different),
            }
        }
        taken_in(unit, &tree_git, &taken, self.violations)?;
        if !moved.is_empty() {
            tree_git.run_with_input(&["update-index", "-z", "--index-info"], &moved)?;
        }
        let tree = match taken.is_empty() && moved.is_empty() {
            true => tree_of(git, parent)?,
            false => worktree::tree(&tree_git)?,
        };
        Ok((tree_git, tree))
    }
}

/// A path of the workspace below the root of a repository.
fn below_root(root: &WorkspacePath, path: &WorkspacePath) -> Option<WorkspacePath> {
    if root.is_root() {
        return Some(path.clone());
    }
    let rest = path.as_bytes().strip_prefix(root.as_bytes())?.strip_prefix(b"/")?;
    WorkspacePath::from_bytes(rest).ok()
}

/// What the gate refuses in the agent's commits.
fn judged(unit: &Unit<'_>, git: &Git, own: &[GitOid]) -> Result<Vec<PolicyViolated>, OutputError> {
    let mut found = Vec::new();
    let mut judged = HashSet::new();
    for commit in own {
        // Against the base, not against a parent: a merge could have for its first parent a commit that already holds
        // what is forbidden, such as an old one of the base's own history.
        let mut changes = unit.changes(git, Some(unit.base), commit)?;
        changes.retain(|change| judged.insert(change.clone()));
        found.extend(unit.judged(commit, &changes)?);
        found.extend(size::too_large(unit.request, git, &changes)?);
    }
    Ok(found)
}

/// Takes all differences in, but for those that git can't take: what one file is must not cost all others.
fn taken_in(
    unit: &Unit<'_>,
    git: &Git,
    taken: &[Different],
    violations: &mut Vec<PolicyViolated>,
) -> Result<(), GitError> {
    let mut waiting = vec![taken];
    while let Some(some) = waiting.pop() {
        match worktree::take_in(git, some.iter()) {
            Ok(()) => {
                for one in worktree::passed_over(git, some)? {
                    let what = "git takes the name for one of its own, and does not take it";
                    violations.push(violation(&unit.whole(&one.path)?, what));
                }
            }
            Err(GitError::Failed { stderr, .. }) if some.len() == 1 => {
                // An attribute may ask for an encoding in which the content is not.
                let what = format!("git can't take it: {stderr}");
                for one in some {
                    violations.push(violation(&unit.whole(&one.path)?, what.clone()));
                }
            }
            Err(GitError::Failed { .. }) => {
                let (first, last) = some.split_at(some.len() / 2);
                waiting.extend([last, first]);
            }
            Err(
                error @ (GitError::Run { .. }
                | GitError::Disk { .. }
                | GitError::Slow { .. }
                | GitError::Answer { .. }),
            ) => return Err(error),
        }
    }
    Ok(())
}

impl Prepared {
    /// Packs what the branch needs and the base lacks into the mirror, and then names it. Nothing else that is in the
    /// quarantine gets there. Can be tried again.
    ///
    /// # Errors
    /// [`OutputError`]; the mirror has no new branch then, and nothing half written.
    pub fn export(&self, request: &OutputRequest<'_>) -> Result<(), OutputError> {
        let (Some(branch), Some(commit)) = (&self.outputs.branch, &self.outputs.head) else {
            return Ok(());
        };
        let base = request.base.commit().as_str();
        let refs = self.outputs.refs();
        let mut words = vec!["rev-list", "--objects", "--no-object-names", commit.as_str()];
        words.extend(refs.iter().map(|one| one.object.as_str()));
        let submodules = self.outputs.submodules();
        for one in submodules {
            words.push(one.commit.as_str());
            words.extend(one.refs.iter().flatten().map(|one| one.object.as_str()));
        }
        words.extend(["--not", base]);
        words.extend(submodules.iter().map(|one| one.base.as_str()));
        let wanted = self.git.run(&words)?;
        let _lock = request.mirror.lock()?;
        let packs = request.mirror.objects().join("pack");
        let target = packs.join("pack");
        let words: [&OsStr; 4] = [
            OsStr::new("pack-objects"),
            OsStr::new("--quiet"),
            OsStr::new("--delta-base-offset"),
            target.as_os_str(),
        ];
        let git = self.git.clone().with_configuration(BIG_FILE.0, BIG_FILE.1);
        let packed = git.run_with_input(&words, &wanted);
        if packed.is_err() {
            remove_half_written(&packs);
        }
        packed?;
        let name = format!("refs/heads/{branch}");
        // From here on without the quarantine: what the branch needs must be in the mirror.
        let mirror = request.mirror.git();
        let format = "--format=%(objectname)";
        if mirror.run(&["for-each-ref", format, &name])?.trim_ascii() == commit.as_str().as_bytes()
        {
            // An attempt before this one named it, and failed only in saying so.
            return Ok(());
        }
        let inner = submodules.iter().flat_map(|one| one.refs.iter().flatten());
        for one in refs.iter().chain(inner) {
            mirror.run(&["update-ref", &one.name, one.object.as_str()])?;
        }
        for one in submodules {
            if let Some(name) = &one.branch {
                mirror.run(&["update-ref", name, one.commit.as_str()])?;
            }
        }
        let zero = "0".repeat(commit.as_str().len());
        mirror.run(&["update-ref", &name, commit.as_str(), &zero])?;
        Ok(())
    }
}

/// What git leaves of a pack that it could not write takes up the room that is missing. Nobody else writes packs meanwhile:
/// the mirror is locked.
fn remove_half_written(packs: &Path) {
    for entry in std::fs::read_dir(packs).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"tmp_")
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(%error, path = %entry.path().display(), "it could not be removed");
        }
    }
}
