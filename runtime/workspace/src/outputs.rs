//! What a session leaves: its changes as commits on a branch of its own in the mirror, and their diff.
//!
//! Runs after the sandbox has ended, on the clean view of the workspace. Everything in there was written by the
//! agent: files are read as data, its `.git` is never used as a repository (see `import`), and objects are made in
//! a quarantine of which only what the branch needs reaches the mirror.

mod admission;
mod branch;
mod commits;
mod diff;
mod hidden;
mod import;
mod others;
mod refs;
mod size;
mod submodules;
mod unit;

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use custody_model::{GitOid, SessionId, Timestamp};
use custody_policy::PathRules;
use custody_record::event::{CommitCreated, CreatedRef, CreatedSubmodule, PolicyViolated};
use custody_record::{BlobError, Blobs, Redactor};

use crate::base::{Base, BaseError};
use crate::covers::CoverError;
use crate::git::{Git, GitError};
use crate::mirror::{Mirror, MirrorError};

pub use branch::{Prepared, prepare, publish};
pub use diff::{CUT_DIFF, Diff, WHOLE_DIFF};

/// Most bytes of the agent's own objects that are looked at, in bytes of their stored form.
pub const MAX_IMPORT_BYTES: u64 = 2 << 30;
/// Most commits of the agent's own that are kept.
pub const MAX_AGENT_COMMITS: usize = 10_000;
/// Largest file that gets into the session's commit, in bytes.
pub const MAX_OUTPUT_FILE_BYTES: u64 = 1 << 30;

/// Largest content that gets into the session's commit, all files together, in bytes.
pub const MAX_OUTPUT_BYTES: u64 = 8 << 30;

/// Largest file of patterns or attributes that git is given to read: it holds the whole of one in memory.
pub const MAX_PATTERN_FILE_BYTES: u64 = 4 << 20;

/// Largest diff that is kept whole in the record, in bytes.
pub const MAX_DIFF_BYTES: u64 = 64 << 20;

/// Largest binary file of which that diff has the content, in bytes. Of a larger one it says that it differs, and both of its
/// objects: the branch has it, and a patch of it would be larger than itself.
pub const MAX_BINARY_PATCH_BYTES: u64 = 1 << 20;

/// Files from this size on are packed as they come, in git's spelling: no attempt is made to store them as a difference from others.
pub(crate) const BIG_FILE: (&str, &str) = ("core.bigFileThreshold", "16m");

/// Most refs that come out beside the session's branch: they stand in one event.
pub const MAX_OUTPUT_REFS: usize = 100;

/// Most submodules in which something may be changed: they stand in one event.
pub const MAX_OUTPUT_SUBMODULES: usize = 30;

/// What one session may put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Bytes of the agent's own git objects, in their stored form.
    pub import_bytes: u64,
    /// Commits of the agent's own.
    pub agent_commits: usize,
    /// Refs beside the session's branch.
    pub refs: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files together: a file with holes is as large as it says and takes no room on disk.
    pub total_bytes: u64,
    /// Bytes of one `.gitignore`, `.gitattributes` or `.gitmodules`.
    pub pattern_file_bytes: u64,
    /// Bytes of the diff that the record keeps; a larger one is cut where a file's part ends.
    pub diff_bytes: u64,
    /// Bytes of a binary file whose content the diff has.
    pub binary_patch_bytes: u64,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self {
            import_bytes: MAX_IMPORT_BYTES,
            agent_commits: MAX_AGENT_COMMITS,
            refs: MAX_OUTPUT_REFS,
            file_bytes: MAX_OUTPUT_FILE_BYTES,
            total_bytes: MAX_OUTPUT_BYTES,
            pattern_file_bytes: MAX_PATTERN_FILE_BYTES,
            diff_bytes: MAX_DIFF_BYTES,
            binary_patch_bytes: MAX_BINARY_PATCH_BYTES,
        }
    }
}

/// A name and an address, as a commit has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name; git drops `<`, `>` and line ends from it.
    pub name: String,
    /// The address.
    pub email: String,
}

impl Identity {
    /// What commits of a process inside the sandbox are signed with unless it says otherwise.
    #[must_use]
    pub fn agent() -> Self {
        Self { name: "Agent".to_owned(), email: "agent@custody.invalid".to_owned() }
    }

    /// Custody itself.
    #[must_use]
    pub fn custody() -> Self {
        Self { name: "Custody".to_owned(), email: "custody@custody.invalid".to_owned() }
    }
}

/// What to make the outputs of.
#[derive(Clone, Debug)]
pub struct OutputRequest<'a> {
    /// Where the branch goes.
    pub mirror: &'a Mirror,
    /// What the session started from.
    pub base: &'a Base,
    /// What may get in.
    pub rules: &'a PathRules,
    /// The session.
    pub session: SessionId,
    /// Root hash of the session's log, as its checkpoints spell it, for the trailer `Custody-Record`.
    pub record_root: &'a str,
    /// Root directory of the clean view (without guards), as a descriptor …
    pub clean: BorrowedFd<'a>,
    /// … and as a path of this mount namespace.
    pub clean_path: &'a Path,
    /// The session's layer: what it does not hold is as the base has it.
    pub layer: &'a Path,
    /// Where a quarantine directory can be made: on the mirror's file system, not below the clean view.
    pub scratch: &'a Path,
    /// Where the diff is stored.
    pub blobs: &'a Blobs,
    /// Cleans what the message of Custody's commit says besides.
    pub redactor: &'a Redactor,
    /// First line of the message of Custody's commit.
    pub subject: &'a str,
    /// Author of Custody's commit (its committer is Custody).
    pub author: &'a Identity,
    /// Its date.
    pub time: Timestamp,
    /// Limits.
    pub limits: OutputLimits,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// The branch, as in `custody/0197…`; absent if the session changed nothing that may get out.
    pub branch: Option<String>,
    /// Where the branch points.
    pub head: Option<GitOid>,
    /// The commits that the base lacks: those of submodules, those of other refs, then the branch's, oldest first.
    pub commits: Vec<CreatedCommit>,
    /// What stayed out, and why.
    pub violations: Vec<PolicyViolated>,
    /// The diff from the base to the branch; absent if there is no branch.
    pub diff: Option<Diff>,
}

impl Outputs {
    /// The refs beside the branch, as the event of its last commit tells them.
    #[must_use]
    pub fn refs(&self) -> &[CreatedRef] {
        self.commits.last().and_then(|last| last.event.refs.as_deref()).unwrap_or_default()
    }
}

impl Outputs {
    /// The submodules in which something was changed, as the event of the branch's last commit tells them.
    #[must_use]
    pub fn submodules(&self) -> &[CreatedSubmodule] {
        self.commits.last().and_then(|last| last.event.submodules.as_deref()).unwrap_or_default()
    }
}

/// One commit of the branch.
#[derive(Clone, Debug)]
pub struct CreatedCommit {
    /// The event.
    pub event: CommitCreated,
    /// All changed files, where the event has only the first ones.
    pub all_files: Option<Vec<custody_record::event::ChangedFile>>,
}

/// Why there are no outputs.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The mirror can't be used.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The base can't be used.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A file can't be read or written.
    #[error("{path} can't be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The diff can't be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// What came out could not be recorded, so it did not get out.
    #[error("what came out could not be recorded")]
    Record(#[from] custody_record::SinkError),
}

impl From<CoverError> for OutputError {
    fn from(CoverError { path, source }: CoverError) -> Self {
        Self::File { path, source }
    }
}

/// Makes a commit of a tree: by `by.0` (author) and `by.1` (committer), at `time`.
///
/// # Errors
/// [`GitError`].
pub fn commit_tree(
    git: &Git,
    tree: &GitOid,
    parents: &[GitOid],
    message: &str,
    by: (&Identity, &Identity),
    time: Timestamp,
) -> Result<GitOid, GitError> {
    let date = format!("@{} +0000", time.as_micros().div_euclid(1_000_000));
    let mut git = git.clone();
    for (name, value) in [
        ("GIT_AUTHOR_NAME", by.0.name.as_str()),
        ("GIT_AUTHOR_EMAIL", &by.0.email),
        ("GIT_AUTHOR_DATE", &date),
        ("GIT_COMMITTER_NAME", &by.1.name),
        ("GIT_COMMITTER_EMAIL", &by.1.email),
        ("GIT_COMMITTER_DATE", &date),
    ] {
        git = git.with_variable(name, OsStr::new(value));
    }
    let mut words = vec!["commit-tree", tree.as_str()];
    for parent in parents {
        words.extend(["-p", parent.as_str()]);
    }
    git.run_for_oid(&words, message.as_bytes())
}
