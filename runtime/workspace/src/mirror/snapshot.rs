//! A commit of a working tree as it stands, with what is not committed, made without touching the checkout.

use std::path::{Path, PathBuf};

use custody_model::{Timestamp, WorkspacePath};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::{Mirror, MirrorError, Resolved, Source};
use crate::checkout::Checkout;
use crate::covers::{CoverError, Covering, Covers};
use crate::git::{Git, GitError};
use crate::layer::Within;
use crate::outputs::{Identity, MAX_PATTERN_FILE_BYTES, commit_tree};
use crate::{regular, worktree};

/// What to take a snapshot of.
#[derive(Clone, Debug)]
pub struct SnapshotRequest<'a> {
    /// Whose working tree.
    pub checkout: &'a Checkout,
    /// A file of patterns to ignore besides those of the repository: the user's `core.excludesFile`.
    pub excludes: Option<PathBuf>,
    /// Who makes the commit.
    pub identity: &'a Identity,
    /// When.
    pub time: Timestamp,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit to start from: HEAD itself if nothing differs.
    pub resolved: Resolved,
    /// Something differs from HEAD.
    pub dirty: bool,
}

impl Mirror {
    /// A commit, on top of the checkout's HEAD, of its working tree: tracked changes and untracked files that are
    /// not ignored. Index, refs and objects of the checkout stay as they are. Submodules stay as HEAD has
    /// them, and filter drivers (such as Git LFS) are not run: a changed file is taken as it stands.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot, MirrorError> {
        self.update(&Source::Checkout(request.checkout.clone()), None)?;
        // In mounts of this thread alone, where names of the working tree can be hidden from git.
        let taken = std::thread::scope(|threads| {
            threads
                .spawn(|| {
                    own_mounts().map_err(|errno| self.failed(errno.into()))?;
                    self.take_snapshot(request)
                })
                .join()
        });
        taken.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn failed(&self, source: std::io::Error) -> MirrorError {
        MirrorError::File { path: self.git_dir().to_owned(), source }
    }

    fn take_snapshot(&self, request: &SnapshotRequest<'_>) -> Result<Snapshot, MirrorError> {
        let checkout = request.checkout;
        let head = match self.resolve("refs/sources/HEAD") {
            Ok(head) => Some(head),
            Err(MirrorError::NoCommit { .. }) => None,
            Err(error) => return Err(error),
        };
        let failed = |source| self.failed(source);
        let scratch = tempfile::tempdir_in(self.git_dir()).map_err(failed)?;
        let index = scratch.path().join("index");
        let excludes = scratch.path().join("excludes");
        let mut patterns = Vec::new();
        let own = checkout.common_dir().join("info/exclude");
        for file in request.excludes.iter().chain([&own]) {
            match regular::read(file, MAX_PATTERN_FILE_BYTES) {
                Ok(bytes) => patterns.extend(bytes),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(MirrorError::File { path: file.clone(), source });
                }
            }
            patterns.push(b'\n');
        }
        std::fs::write(&excludes, patterns).map_err(failed)?;
        let git = self
            .git()
            .with_work_tree(checkout.root())
            .with_index(&index)
            .with_configuration("core.excludesFile", &excludes.to_string_lossy());
        let nothing = scratch.path().join("nothing");
        std::fs::create_dir(&nothing).map_err(failed)?;
        let covering = Covering {
            root: checkout.root(),
            nothing: &nothing,
            pattern_file_bytes: MAX_PATTERN_FILE_BYTES,
            within: &Within::Everything,
        };
        let covers = Covers::cover(covering, &mut Vec::new())
            .map_err(|CoverError { path, source }| MirrorError::File { path, source })?;
        let nested = covers.nested_paths();
        // The checkout's own index knows which files are unchanged. One that can't stand alone (a split
        // index) or has no commit behind it is replaced by a fresh one, and every file is read then.
        let copied = copy(&checkout.git_dir().join("index"), &index).is_ok();
        let tree = match self.taken(&git, &nested) {
            Ok(tree) if copied => tree,
            Ok(_) | Err(_) => {
                match std::fs::remove_file(&index) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(failed(error));
                    }
                    Ok(()) | Err(_) => {}
                }
                if let Some(head) = &head {
                    git.run(&["read-tree", head.commit.as_str()])?;
                }
                self.taken(&git, &nested)?
            }
        };
        if let Some(head) = head.clone().filter(|head| head.tree == tree) {
            self.keep(&head.commit)?;
            return Ok(Snapshot { resolved: head, dirty: false });
        }
        let parents: Vec<_> = head.into_iter().map(|head| head.commit).collect();
        let message = "Snapshot of a working tree with changes that were not committed\n";
        let by = (request.identity, request.identity);
        let commit = commit_tree(&self.git(), &tree, &parents, message, by, request.time)?;
        self.keep(&commit)?;
        Ok(Snapshot { resolved: Resolved { commit, tree }, dirty: true })
    }

    fn taken(
        &self,
        git: &Git,
        nested: &[WorkspacePath],
    ) -> Result<custody_model::GitOid, GitError> {
        let different = worktree::differences(git, nested, &Within::Everything)?;
        worktree::take_in(git, different.iter())?;
        worktree::tree(git)
    }
}

/// Copies what is a regular file.
fn copy(from: &Path, to: &Path) -> std::io::Result<u64> {
    std::io::copy(&mut regular::open(from)?, &mut std::fs::File::create(to)?)
}

/// Gives this thread a mount namespace of its own, from which nothing gets out.
fn own_mounts() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)
}
