//! Makes the session's branch.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use custody_model::GitOid;
use custody_record::SinkError;
use custody_record::event::{CommitAuthor, PolicyViolated};

use super::hidden::Hidden;
use super::import::{self, BroughtRef, Found};
use super::{
    Identity, OutputError, OutputRequest, Outputs, admission, commit_tree, commits, diff, others,
    size,
};
use crate::covers::{Covering, Covers};
use crate::gate::{self, violation};
use crate::git::{Git, GitError};
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
/// made or moved (branches, tags, the stash) comes out beside it, if each of its commits passes the gate.
///
/// What a nested repository holds comes out as plain files, without its history.
/// What stays out, with a violation for each: changes of read-only and denied paths, work trees that are linked to this
/// repository, files above the limit. Submodules stay as the base has them. Links are committed as links, wherever they point.
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

    let Own { kept, refs } =
        own_commits(request, &git, scratch.path(), &objects, &mut outputs.violations)?;
    let parent = kept.last().unwrap_or(base).clone();

    let nothing = scratch.path().join("nothing");
    std::fs::create_dir(&nothing).map_err(failed(&nothing))?;
    let covering = Covering {
        root: request.clean_path,
        nothing: &nothing,
        pattern_file_bytes: request.limits.pattern_file_bytes,
    };
    let covers = Covers::cover(covering, &mut outputs.violations)?;
    let index = scratch.path().join("index");
    std::fs::copy(request.base.index(), &index).map_err(failed(&index))?;
    let tree_git = git.clone().with_index(&index).with_work_tree(request.clean_path);
    if !kept.is_empty() {
        advance(&git, &tree_git, base, &parent)?;
    }
    let (mut taken, mut left) = (Vec::new(), request.limits.total_bytes);
    let hidden = Hidden::read(request.clean, base.as_str().len() / 2);
    let linked = covers.nested().iter().filter(|nested| nested.linked);
    let linked: Vec<_> = linked.map(|nested| nested.path.clone()).collect();
    for different in worktree::differences(&tree_git, &linked)? {
        if admission::stays(request, &different, &hidden, !kept.is_empty(), &mut outputs.violations)
        {
            continue;
        }
        match admission::refused(request, &different, &mut left) {
            Some(violated) => outputs.violations.push(violated),
            None => taken.push(different),
        }
    }
    admission::behind_the_guard(request, &mut outputs.violations);
    admission::inner_histories(request, &tree_git, covers.nested(), &mut outputs.violations)?;
    let tree = taken_in(&tree_git, &taken, &mut outputs.violations)?;
    let parent_tree = format!("{parent}^{{tree}}");
    let parent_tree = git.run_for_oid(&["rev-parse", "--verify", &parent_tree], &[])?;
    if tree == parent_tree && kept.is_empty() && refs.is_empty() {
        return Ok(Prepared { _scratch: scratch, git, outputs });
    }

    let subject = request.subject.replace(|c: char| c.is_control(), " ");
    let mut message = format!(
        "{}\n\nCustody-Session: {}\nCustody-Record: {}\n",
        subject.trim(),
        request.session,
        request.record_root,
    );
    for BroughtRef { moved, .. } in &refs {
        message.push_str(&format!("Custody-Ref: {} {}\n", moved.object, moved.outside));
    }
    let by = (request.author, &Identity::custody());
    let commit = commit_tree(&git, &tree, &[parent], &message, by, request.time)?;
    // The last word: whatever went before, nothing that a rule forbids differs from the base.
    for change in gate::changes(&git, Some(base), &commit)? {
        if let Some(violated) = gate::judge(request.rules, &change.path, "it got past the gate") {
            let path = request.clean_path.join(change.path.as_path());
            return Err(failed(&path)(std::io::Error::other(violated.what)));
        }
    }

    let branch = format!("custody/{}", request.session);
    outputs.commits = others::described(&git, &refs, &kept)?;
    for own in &kept {
        outputs.commits.push(commits::describe(&git, own, &branch, CommitAuthor::Agent)?);
    }
    let mut last = commits::describe(&git, &commit, &branch, CommitAuthor::Custody)?;
    last.event.refs = others::told(&refs);
    outputs.commits.push(last);
    let limit = request.limits.diff_bytes;
    outputs.diff = Some(diff::store(&git, base, &commit, limit, request.blobs)?);
    outputs.branch = Some(branch);
    outputs.head = Some(commit);
    Ok(Prepared { _scratch: scratch, git, outputs })
}

/// What the agent committed and may get out.
struct Own {
    /// For the branch, oldest first; none if one of them can't be kept.
    kept: Vec<GitOid>,
    /// Beside it.
    refs: Vec<BroughtRef>,
}

fn own_commits(
    request: &OutputRequest<'_>,
    git: &Git,
    scratch: &Path,
    objects: &Path,
    violations: &mut Vec<PolicyViolated>,
) -> Result<Own, OutputError> {
    let dot_git = others::dot_git();
    let brought = import::bring(request, scratch, objects)?;
    let mut refs = brought.refs;
    let kept = match brought.head {
        Found::Nothing => Vec::new(),
        Found::Commits(own) => {
            let found = judged(request, git, &own)?;
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
                violations.push(violation(&dot_git, what));
                violations.extend(found);
                Vec::new()
            }
        }
        Found::Unusable(why) => {
            let what = format!("the agent's own commits are not kept on the branch: {why}");
            violations.push(violation(&dot_git, what));
            Vec::new()
        }
    };
    violations.extend(brought.left.into_iter().map(|what| violation(&dot_git, what)));
    let refs = others::gated(request, git, refs, violations)?;
    Ok(Own { kept, refs })
}

/// What the gate refuses in the agent's commits.
fn judged(
    request: &OutputRequest<'_>,
    git: &Git,
    own: &[GitOid],
) -> Result<Vec<PolicyViolated>, OutputError> {
    let mut found = Vec::new();
    let mut judged = HashSet::new();
    for commit in own {
        // Against the base, not against a parent: a merge could have for its first parent a commit that already holds
        // what is forbidden, such as an old one of the base's own history.
        let mut changes = gate::changes(git, Some(request.base.commit()), commit)?;
        changes.retain(|change| judged.insert(change.clone()));
        found.extend(gate::judge_commit(request.rules, commit, &changes));
        found.extend(size::too_large(request, git, &changes)?);
    }
    Ok(found)
}

/// Moves the index from the base to the agent's last commit; what is unchanged keeps its stat data.
fn advance(git: &Git, tree_git: &Git, base: &GitOid, to: &GitOid) -> Result<(), OutputError> {
    let zero = "0".repeat(base.as_str().len());
    let (mut gone, mut there) = (Vec::new(), Vec::new());
    for change in gate::changes(git, Some(base), to)? {
        let oid = change.new.as_ref().map_or(zero.as_str(), GitOid::as_str);
        let list = if change.new.is_some() { &mut there } else { &mut gone };
        let mode = if change.new.is_some() { change.new_mode.as_str() } else { "0" };
        list.extend_from_slice(format!("{mode} {oid}\t").as_bytes());
        list.extend_from_slice(change.path.as_bytes());
        list.push(0);
    }
    gone.extend(there);
    if !gone.is_empty() {
        tree_git.run_with_input(&["update-index", "-z", "--index-info"], &gone)?;
    }
    Ok(())
}

/// Takes all differences in, but for those that git can't take: what one file is must not cost all others.
fn taken_in(
    git: &Git,
    taken: &[Different],
    violations: &mut Vec<PolicyViolated>,
) -> Result<GitOid, GitError> {
    let mut waiting = vec![taken];
    while let Some(some) = waiting.pop() {
        match worktree::take_in(git, some.iter()) {
            Ok(()) => {}
            Err(GitError::Failed { stderr, .. }) if some.len() == 1 => {
                // An attribute may ask for an encoding in which the content is not.
                let what = format!("git can't take it: {stderr}");
                violations.extend(some.iter().map(|one| violation(&one.path, what.clone())));
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
    worktree::tree(git)
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
        let not_base = format!("^{}", request.base.commit());
        let refs = self.outputs.refs();
        let mut words = vec!["rev-list", "--objects", "--no-object-names", commit.as_str()];
        words.extend(refs.iter().map(|one| one.object.as_str()));
        words.push(&not_base);
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
        let packed = self.git.run_with_input(&words, &wanted);
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
        for one in refs {
            mirror.run(&["update-ref", &one.name, one.object.as_str()])?;
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
