//! The bare mirror that the runtime keeps of each repository.
//!
//! Layout of `<state>/repositories/<name>.git`: what the source has lies under `refs/sources/` (`HEAD`, `heads/…`,
//! `tags/…`); the commits that sessions started from are kept by `refs/custody/bases/…`; what sessions made stands
//! in `refs/heads/custody/…`, so that a plain `git fetch` of the mirror brings it.

mod name;
mod snapshot;
mod source;
mod submodules;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use custody_model::{Digest, GitOid, WorkspacePath};

use crate::checkout::CheckoutError;
use crate::git::{self, FOREIGN_PATIENCE, Git, GitError};
use crate::lock::Lock;

pub use name::{InvalidRepositoryName, RepositoryName};
pub use snapshot::{Snapshot, SnapshotRequest};
pub use source::{Promisor, Source};
pub(crate) use submodules::below;
pub use submodules::{MAX_SUBMODULES, Submodule};

/// Why a mirror can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The checkout can't be used.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// A file of the mirror can't be read or written.
    #[error("{path} can't be used")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such repository.
    #[error("there is no repository {0}: `custody repo add` registers one")]
    Unknown(RepositoryName),
    /// The source is a partial clone, and what it leaves out could not be fetched.
    #[error(
        "the repository is a partial clone, and what it leaves out can't be fetched from {promisor}: {why}"
    )]
    Partial {
        /// From where the clone itself would fetch it.
        promisor: String,
        /// Why not, in git's words.
        why: String,
    },
    /// The revision names nothing.
    #[error("{revision:?} names no commit of repository {repository}")]
    NoCommit {
        /// The repository.
        repository: RepositoryName,
        /// The revision.
        revision: String,
    },
}

/// A commit and its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
}

/// All mirrors of an installation.
#[derive(Clone, Debug)]
pub struct Mirrors {
    directory: PathBuf,
}

impl Mirrors {
    /// Those of the installation whose state directory is `state`.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { directory: state.join("repositories") }
    }

    /// The mirror of `source`, registered (without fetching anything yet) if it is not known.
    ///
    /// The name is [`RepositoryName::derived`] from the source unless one is given. Safe to call at the same time
    /// from several processes.
    ///
    /// # Errors
    /// [`MirrorError`]: the source can't be read, or the state directory not be written.
    pub fn add(
        &self,
        source: &Source,
        name: Option<RepositoryName>,
    ) -> Result<Mirror, MirrorError> {
        let name = name.unwrap_or_else(|| RepositoryName::derived(&source.identity()));
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| MirrorError::File { path, source }
        };
        std::fs::create_dir_all(&self.directory).map_err(failed(&self.directory))?;
        let mirror = self.mirror(name);
        let lock_path = mirror.lock_path();
        let _lock = Lock::wait(&lock_path).map_err(failed(&lock_path))?;
        if !mirror.git_dir.join("HEAD").is_file() {
            let format = source.object_format()?;
            // Renamed into place when it is whole: a crash leaves nothing that looks like a mirror.
            let making = self.directory.join(format!(".{}.making", mirror.name));
            match std::fs::remove_dir_all(&making) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&making)(error));
                }
                Ok(()) | Err(_) => {}
            }
            initialise(&making, source, format)?;
            std::fs::rename(&making, &mirror.git_dir).map_err(failed(&mirror.git_dir))?;
        }
        Ok(mirror)
    }

    /// The registered mirror of this name.
    ///
    /// # Errors
    /// [`MirrorError::Unknown`].
    pub fn get(&self, name: &RepositoryName) -> Result<Mirror, MirrorError> {
        let mirror = self.mirror(name.clone());
        if mirror.git_dir.join("HEAD").is_file() {
            Ok(mirror)
        } else {
            Err(MirrorError::Unknown(name.clone()))
        }
    }

    /// The names of all registered repositories, sorted.
    ///
    /// # Errors
    /// [`MirrorError::File`].
    pub fn list(&self) -> Result<Vec<RepositoryName>, MirrorError> {
        let failed = |source| MirrorError::File { path: self.directory.clone(), source };
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".git"));
            names.extend(name.and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    fn mirror(&self, name: RepositoryName) -> Mirror {
        let git_dir = self.directory.join(format!("{name}.git"));
        Mirror { name, git_dir }
    }
}

/// The bare mirror of one repository.
#[derive(Clone, Debug)]
pub struct Mirror {
    name: RepositoryName,
    git_dir: PathBuf,
}

/// Makes the bare repository of a source at `git_dir`.
fn initialise(git_dir: &Path, source: &Source, format: &str) -> Result<(), MirrorError> {
    git::init_bare(git_dir, format)?;
    Git::at(git_dir).run(&["config", "custody.source", &source.identity()])?;
    Ok(())
}

/// The ref by which a base is kept.
fn kept_as(commit: &GitOid) -> String {
    format!("refs/custody/bases/{commit}")
}

impl Mirror {
    /// The repository's name in this installation.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Its git directory.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Its object directory.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.git_dir.join("objects")
    }

    /// Git, in this repository.
    #[must_use]
    pub fn git(&self) -> Git {
        Git::at(&self.git_dir)
    }

    /// Brings everything that the source has and the mirror lacks: all refs but the stash, and the commit `wanted`
    /// if one is named. What the source no longer has goes, but what sessions started from and made stays.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn update(&self, source: &Source, wanted: Option<&GitOid>) -> Result<(), MirrorError> {
        let _lock = self.lock()?;
        self.same_format(source)?;
        if let Some(promisor) = source.promisor() {
            self.complete(&promisor)?;
        }
        let location = source.location();
        let mut words: Vec<&OsStr> = ["fetch", "--quiet", "--prune", "--no-tags", "--force"]
            .into_iter()
            .chain(["--no-write-fetch-head", "--no-recurse-submodules", "--update-shallow"])
            .map(OsStr::new)
            .collect();
        if self.cut()?.is_some() && !source.is_shallow() {
            words.push(OsStr::new("--unshallow"));
        }
        let own = source.upload_pack();
        words.extend(own.iter().map(OsStr::new));
        let base = words.len();
        words.extend(["--", location.as_str()].map(OsStr::new));
        words.extend(["+refs/*:refs/sources/*", "^refs/stash", "^refs/sources/*"].map(OsStr::new));
        if source.has_head()? {
            words.push(OsStr::new("+HEAD:refs/sources/HEAD"));
        }
        match (self.git().run(&words), source.promisor()) {
            (Err(GitError::Failed { stderr, .. }), Some(promisor)) => {
                return Err(MirrorError::Partial { promisor: promisor.shown(), why: stderr });
            }
            (fetched, _) => fetched?,
        };
        if let Some(commit) = wanted {
            if !self.has(commit)? {
                words.truncate(base);
                words.retain(|word| *word != OsStr::new("--prune"));
                words.extend(["--", location.as_str(), commit.as_str()].map(OsStr::new));
                self.git().run(&words)?;
            }
            self.keep(commit)?;
        }
        Ok(())
    }

    /// Where the history is cut off, if it is (the source was a shallow clone): a digest of the commits that have no parents
    /// here.
    ///
    /// # Errors
    /// [`MirrorError::File`]: whether it is cut off can't be read.
    pub fn cut(&self) -> Result<Option<Digest>, MirrorError> {
        Ok(self.shallow()?.map(|cut| Digest::of(&cut)))
    }

    /// Number of commits at which the history is cut off; `None` if it is whole.
    ///
    /// # Errors
    /// As [`Mirror::cut`].
    pub fn cuts(&self) -> Result<Option<u64>, MirrorError> {
        let count =
            |cut: Vec<u8>| cut.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
        Ok(self.shallow()?.map(|cut| count(cut) as u64))
    }

    /// Git's list of the commits at which the history is cut off; `None` if there are none.
    fn shallow(&self) -> Result<Option<Vec<u8>>, MirrorError> {
        let path = self.git_dir.join("shallow");
        match std::fs::read(&path) {
            Ok(cut) => Ok((!cut.is_empty()).then_some(cut)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MirrorError::File { path, source }),
        }
    }

    /// Before anything was fetched a source without a commit may have been taken to be of another object format.
    fn same_format(&self, source: &Source) -> Result<(), MirrorError> {
        if !self.git().run(&["for-each-ref", "--count=1"])?.is_empty() {
            return Ok(());
        }
        let format = source.object_format()?;
        let own = self.git().run(&["rev-parse", "--show-object-format"])?;
        if own.trim_ascii() == format.as_bytes() {
            return Ok(());
        }
        let failed = |source| MirrorError::File { path: self.git_dir.clone(), source };
        std::fs::remove_dir_all(&self.git_dir).map_err(failed)?;
        initialise(&self.git_dir, source, format)
    }

    /// Fetches what a partial clone leaves out from where it would fetch it itself.
    fn complete(&self, promisor: &Promisor) -> Result<(), MirrorError> {
        let failed = |why| MirrorError::Partial { promisor: promisor.shown(), why };
        let Some(url) = promisor.url() else {
            return Err(failed("its URL is not one that is fetched from".to_owned()));
        };
        let words = ["fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head"];
        let words = [&words[..], &["--no-recurse-submodules", "--", url]].concat();
        let words = [&words[..], &["+refs/*:refs/custody/promised/*"]].concat();
        match self.git().run(&words) {
            Err(GitError::Failed { stderr, .. }) => Err(failed(stderr)),
            fetched => Ok(fetched.map(drop)?),
        }
    }

    /// The commit that a revision names in a checkout, if sessions started from it before: the mirror has it then, and
    /// nothing need be fetched. `None` otherwise, also if there is no such commit.
    ///
    /// # Errors
    /// Git fails.
    pub fn known_base(
        &self,
        source: &Source,
        revision: &str,
    ) -> Result<Option<Resolved>, MirrorError> {
        let Source::Checkout(checkout) = source else { return Ok(None) };
        if revision.starts_with('-') {
            return Ok(None);
        }
        let both = [format!("{revision}^{{commit}}"), format!("{revision}^{{tree}}")];
        let git = Git::at(checkout.git_dir()).with_patience(FOREIGN_PATIENCE);
        let answer = match git.run(&["rev-parse", &both[0], &both[1]]) {
            Ok(answer) => answer,
            Err(GitError::Failed { .. }) => return Ok(None),
            Err(
                error @ (GitError::Run { .. }
                | GitError::Disk { .. }
                | GitError::Slow { .. }
                | GitError::Answer { .. }),
            ) => {
                return Err(error.into());
            }
        };
        let answer = String::from_utf8_lossy(&answer);
        let mut oids = answer.lines().map(str::parse);
        let (Some(Ok(commit)), Some(Ok(tree))) = (oids.next(), oids.next()) else {
            return Ok(None);
        };
        let resolved = Resolved { commit, tree };
        let kept = kept_as(&resolved.commit);
        let known = self.git().asks(&["rev-parse", "--quiet", "--verify", &kept])?;
        Ok(known.then_some(resolved))
    }

    /// The commit that a revision names, as gitrevisions(7) has it: first as the mirror has it
    /// (`custody/<session>`, an object id), then as the source has it (`HEAD`, `main`, `v1.2~3`).
    ///
    /// # Errors
    /// [`MirrorError::NoCommit`], or git fails.
    pub fn resolve(&self, revision: &str) -> Result<Resolved, MirrorError> {
        for place in [
            "",
            "refs/sources/",
            "refs/sources/heads/",
            "refs/sources/tags/",
            "refs/sources/remotes/",
        ] {
            let commit = format!("{place}{revision}^{{commit}}");
            let words = ["rev-parse", "--quiet", "--verify", "--end-of-options", &commit];
            match self.git().run_for_oid(&words, &[]) {
                Ok(commit) => return self.resolved(commit),
                Err(GitError::Failed { .. }) => {}
                Err(
                    error @ (GitError::Run { .. }
                    | GitError::Disk { .. }
                    | GitError::Slow { .. }
                    | GitError::Answer { .. }),
                ) => {
                    return Err(error.into());
                }
            }
        }
        let (repository, revision) = (self.name.clone(), revision.to_owned());
        Err(MirrorError::NoCommit { repository, revision })
    }

    /// Keeps a commit and what it needs from git's clean-up.
    ///
    /// # Errors
    /// [`MirrorError::Git`].
    pub fn keep(&self, commit: &GitOid) -> Result<(), MirrorError> {
        self.git().run(&["update-ref", &kept_as(commit), commit.as_str()])?;
        Ok(())
    }

    /// Whether it has this object.
    ///
    /// # Errors
    /// [`MirrorError::Git`].
    pub fn has(&self, object: &GitOid) -> Result<bool, MirrorError> {
        Ok(self.git().asks(&["cat-file", "-e", object.as_str()])?)
    }

    /// Whether there is a directory at this path of a commit.
    ///
    /// # Errors
    /// [`MirrorError::Git`].
    pub fn has_directory(
        &self,
        commit: &GitOid,
        path: &WorkspacePath,
    ) -> Result<bool, MirrorError> {
        let words = ["ls-tree", "-z", "--full-tree", commit.as_str(), "--"].map(OsStr::new);
        let words = [&words[..], &[path.as_path().as_os_str()]].concat();
        Ok(self.git().run(&words)?.starts_with(b"040000 "))
    }

    fn resolved(&self, commit: GitOid) -> Result<Resolved, MirrorError> {
        let tree = format!("{commit}^{{tree}}");
        let tree = self.git().run_for_oid(&["rev-parse", "--verify", &tree], &[])?;
        Ok(Resolved { commit, tree })
    }

    fn lock_path(&self) -> PathBuf {
        self.git_dir.with_extension("lock")
    }

    /// Waits until no other process changes the mirror.
    pub(crate) fn lock(&self) -> Result<Lock, MirrorError> {
        let path = self.lock_path();
        Lock::wait(&path).map_err(|source| MirrorError::File { path, source })
    }
}
