//! One repository of the workspace: the one that the session was given, or a submodule that is checked out in it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use custody_model::{GitOid, WorkspacePath};

use super::{OutputError, OutputRequest};
use crate::base::git_dir;
use crate::gate::{self, Change};
use crate::git::{Git, GitError};
use crate::mirror::below;
use crate::mount::beneath;

/// Longest part of a ref's name that stands for a submodule, in bytes.
const MAX_SUBMODULE_NAME_BYTES: usize = 120;

/// A repository of which outputs are made. Its git speaks of paths below its root, everything else of paths in the workspace.
#[derive(Debug)]
pub(super) struct Unit<'a> {
    pub(super) request: &'a OutputRequest<'a>,
    /// Its directory in the workspace.
    pub(super) root: &'a WorkspacePath,
    /// The commit that the session started from.
    pub(super) base: &'a GitOid,
    /// Its git directory, as a path in the workspace.
    pub(super) git_dir: PathBuf,
    /// Commits of submodules in it that come out, by the submodules' directories in the workspace.
    pub(super) links: HashMap<WorkspacePath, HashSet<GitOid>>,
}

impl<'a> Unit<'a> {
    /// The repository at `root`, whose base is `base`.
    pub(super) fn new(
        request: &'a OutputRequest<'a>,
        root: &'a WorkspacePath,
        base: &'a GitOid,
    ) -> Self {
        Self { request, root, base, git_dir: git_dir(root), links: HashMap::new() }
    }

    /// A path that git says, as it is in the workspace.
    pub(super) fn whole(&self, path: &WorkspacePath) -> Result<WorkspacePath, GitError> {
        WorkspacePath::from_bytes(&below(self.root, path.as_bytes())).map_err(|invalid| {
            GitError::Answer { command: "diff".to_owned(), what: invalid.to_string() }
        })
    }

    /// A path below its git directory, as it is in the workspace.
    pub(super) fn in_git_dir(&self, name: impl AsRef<Path>) -> PathBuf {
        self.git_dir.join(name)
    }

    /// Its git directory, where what concerns no file of it is told.
    pub(super) fn dot_git(&self) -> WorkspacePath {
        use std::os::unix::ffi::OsStrExt as _;
        WorkspacePath::from_bytes(self.git_dir.as_os_str().as_bytes()).unwrap_or_default()
    }

    /// What differs from `parent` to `commit`, by paths in the workspace.
    pub(super) fn changes(
        &self,
        git: &Git,
        parent: Option<&GitOid>,
        commit: &GitOid,
    ) -> Result<Vec<Change>, GitError> {
        let mut changes = gate::changes(git, parent, commit)?;
        if !self.root.is_root() {
            for change in &mut changes {
                change.path = self.whole(&change.path)?;
            }
        }
        Ok(changes)
    }

    /// Whether a change moves a submodule to a commit that comes out too or was there, removes it, or puts files in its place.
    pub(super) fn is_known_link(&self, change: &Change) -> Result<bool, OutputError> {
        if change.old_mode != gate::LINK_MODE {
            return Ok(false);
        }
        let Some(new) = change.new.as_ref().filter(|_| change.new_mode == gate::LINK_MODE) else {
            return Ok(true);
        };
        let made = self.links.get(&change.path).is_some_and(|made| made.contains(new));
        Ok(made || self.request.mirror.has(new)?)
    }

    /// What a commit of the agent's must not do, by `changes`.
    pub(super) fn judged(
        &self,
        commit: &GitOid,
        changes: &[Change],
    ) -> Result<Vec<custody_record::event::PolicyViolated>, OutputError> {
        let mut judged = Vec::new();
        for change in changes {
            judged.push((change, self.is_known_link(change)?));
        }
        Ok(gate::judge_commit(self.request.rules, commit, &judged))
    }

    /// Full name in the mirror of a ref of it. No part of a name may be another ref's: the branch is `custody/<session>`, of a
    /// submodule `custody/<session>.submodules/<its name>/branch`.
    pub(super) fn outside(&self, name: &str) -> Option<String> {
        let session = self.request.session;
        let named = |name: &str| name.strip_prefix("refs/").unwrap_or(name).to_owned();
        if self.root.is_root() {
            return Some(match name.strip_prefix("refs/tags/") {
                Some(tag) => format!("refs/tags/custody/{session}/{tag}"),
                None => format!("refs/heads/custody/{session}.refs/{}", named(name)),
            });
        }
        let place = format!("custody/{session}.submodules/{}", self.place()?);
        Some(match name.strip_prefix("refs/tags/") {
            Some(tag) => format!("refs/tags/{place}/{tag}"),
            None => format!("refs/heads/{place}/refs/{}", named(name)),
        })
    }

    /// Full name in the mirror of the branch; `None`, if the submodule's path is too long for one.
    pub(super) fn branch(&self) -> Option<String> {
        let session = self.request.session;
        match self.root.is_root() {
            true => Some(format!("refs/heads/custody/{session}")),
            false => {
                Some(format!("refs/heads/custody/{session}.submodules/{}/branch", self.place()?))
            }
        }
    }

    /// A submodule's path as one part of a ref's name: `/` is `+`, and what is neither a letter, a digit, `_` nor `-` is `=` and
    /// its code.
    fn place(&self) -> Option<String> {
        let mut text = String::new();
        for byte in self.root.as_bytes() {
            match byte {
                b'/' => text.push('+'),
                b'_' | b'-' => text.push(char::from(*byte)),
                byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
                byte => text.push_str(&format!("={byte:02X}")),
            }
        }
        (text.len() <= MAX_SUBMODULE_NAME_BYTES).then_some(text)
    }

    /// What stands at a path of it, without following a link.
    pub(super) fn kind(&self, path: &WorkspacePath) -> Option<std::fs::Metadata> {
        let path = self.whole(path).ok()?;
        let name = OsString::from(path.as_path());
        let found = beneath(self.request.clean, &name, libc::O_PATH | libc::O_NOFOLLOW).ok()?;
        std::fs::File::from(found).metadata().ok()
    }
}
