//! The shared read-only checkout of one base commit under one set of path rules.
//!
//! Made once per (repository, commit, rules) and used by every session that starts there, so that starting does not
//! cost the size of the repository. Layout of `<state>/bases/<repository>/`:
//! `<commit>-<first 16 digits of the rules' digest>/{tree,index,manifest,modules,complete}`, and `objects-<digest>/` with what
//! the rules let a session see of the history (see `objects`).

mod checkout;
mod git_dir;
mod history;
mod index;
mod manifest;
mod objects;
mod submodules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::{GitOid, Timestamp, WorkspacePath};
use custody_policy::PathRules;

use crate::git::GitError;
use crate::lock::Lock;
use crate::mirror::{Mirror, MirrorError, Submodule};
use crate::outputs::Identity;
use crate::overlay::Owner;

pub(crate) use submodules::git_dir;

pub use index::InvalidIndex;
pub use manifest::{EntryKind, InvalidManifest, Manifest, ManifestEntry};

/// Version of the layout; it stands in `complete`, and a base of another version is made anew.
const LAYOUT: &str = "custody base 4\n";

/// Where the shared objects are inside the sandbox: `.git/objects/info/alternates` points there.
pub const OBJECTS_INSIDE: &str = "/custody/objects";

/// Name of the branch that a session starts on, inside.
pub const BRANCH_INSIDE: &str = "work";

/// Why there is no base checkout.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The mirror can't be used.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A file can't be read or written.
    #[error("{path} can't be made or read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What git wrote can't be used.
    #[error("the base's manifest can't be used")]
    Manifest(#[from] InvalidManifest),
    /// What git wrote can't be used.
    #[error("the base's index can't be used")]
    Index(#[from] InvalidIndex),
}

pub(crate) fn at<T>(path: &Path, result: std::io::Result<T>) -> Result<T, BaseError> {
    result.map_err(|source| BaseError::File { path: path.to_owned(), source })
}

/// What is being done, for people who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Another process makes the same base, or this one waits for its turn.
    Waiting,
    /// The history is looked through for what the rules deny.
    Examining,
    /// What the session may see of the history is packed.
    Packing,
    /// Files are checked out.
    CheckingOut {
        /// How many.
        files: usize,
    },
    /// It is there.
    Ready {
        /// It was there before.
        reused: bool,
    },
}

/// What to make.
#[derive(Clone, Debug)]
pub struct BaseRequest<'a> {
    /// Of which repository.
    pub mirror: &'a Mirror,
    /// Which commit; the mirror has it.
    pub commit: &'a GitOid,
    /// Under which rules.
    pub rules: &'a PathRules,
    /// Who owns the files, as the host sees it. The same for all bases of an installation.
    pub owner: Owner,
    /// The same as it is seen inside.
    pub owner_inside: Owner,
    /// Whose name commits get that are made inside, unless they say otherwise. The same for all bases.
    pub identity: &'a Identity,
    /// Now: no file of the checkout is younger, so that git trusts the index.
    pub now: Timestamp,
}

/// A base checkout.
#[derive(Clone, Debug)]
pub struct Base {
    directory: PathBuf,
    objects: PathBuf,
    commit: GitOid,
    manifest: Arc<Manifest>,
    submodules: Arc<Vec<Submodule>>,
}

/// Where a base is.
struct Places {
    /// The beginning of the rules' digest, in hex.
    rules: String,
    repository: PathBuf,
    directory: PathBuf,
    objects: PathBuf,
    submodules: Vec<Submodule>,
}

impl Places {
    fn of(
        state: &Path,
        mirror: &Mirror,
        commit: &GitOid,
        rules: &PathRules,
    ) -> Result<Self, BaseError> {
        let (denies, rules_of) = (rules.denies(), rules);
        let mut rules = rules.digest().hex()[..16].to_owned();
        let repository = state.join("bases").join(mirror.name().as_str());
        // A history that was cut off and is not any more is another one.
        if let Some(cut) = mirror.cut()? {
            rules.push_str(&format!("-{}", &cut.hex()[..8]));
        }
        let submodules = submodules::under(rules_of, mirror.submodules(commit)?);
        let directory =
            repository.join(format!("{commit}-{rules}{}", submodules::suffix(&submodules)));
        let objects = match denies {
            true => repository.join(format!("objects-{rules}")),
            false => mirror.objects(),
        };
        Ok(Self { rules, repository, directory, objects, submodules })
    }
}

impl Base {
    /// The base that the request describes: made now, or found.
    ///
    /// Two processes that ask at the same time get the same one; the second waits. A crash leaves nothing that looks
    /// complete. `progress` is called from this thread.
    ///
    /// # Errors
    /// [`BaseError`].
    pub fn prepare(
        state: &Path,
        request: &BaseRequest<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, BaseError> {
        let places = Places::of(state, request.mirror, request.commit, request.rules)?;
        let Places { rules, repository, directory, objects, submodules } = places;
        let open = || Self::open(&directory, &objects, request.commit);
        if let Some(base) = open()? {
            progress(Progress::Ready { reused: true });
            return Ok(base);
        }
        at(&repository, std::fs::create_dir_all(&repository))?;
        progress(Progress::Waiting);
        let lock = repository.join(format!("{rules}.lock"));
        let _lock = at(&lock, Lock::wait(&lock))?;
        if let Some(base) = open()? {
            progress(Progress::Ready { reused: true });
            return Ok(base);
        }
        if request.rules.denies() {
            objects::bring(request, &submodules, &objects, progress)?;
        }
        let scratch = at(&repository, tempfile::tempdir_in(&repository))?;
        let manifest = checkout::make(request, &submodules, scratch.path(), progress)?;
        submodules::save(scratch.path(), &submodules)?;
        at(scratch.path(), sync(scratch.path()))?;
        let marker = scratch.path().join("complete");
        at(&marker, std::fs::write(&marker, LAYOUT))?;
        // Only a base of another layout, or one that a crash cut off, can stand here: its makers hold the lock.
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return at(&directory, Err(error));
            }
            Ok(()) | Err(_) => {}
        }
        at(&directory, std::fs::rename(scratch.keep(), &directory))?;
        progress(Progress::Ready { reused: false });
        Ok(Self {
            directory,
            objects,
            commit: request.commit.clone(),
            manifest: Arc::new(manifest),
            submodules: Arc::new(submodules),
        })
    }

    /// The base of a session that was made before; `None` if it is gone. Never makes one. `name` is its [`Base::name`], if that
    /// is known.
    ///
    /// # Errors
    /// [`BaseError`].
    pub fn find(
        state: &Path,
        mirror: &Mirror,
        commit: &GitOid,
        rules: &PathRules,
        name: Option<&str>,
    ) -> Result<Option<Self>, BaseError> {
        let places = Places::of(state, mirror, commit, rules)?;
        // Submodules may have been brought since, or the history have been cut off or fetched whole.
        if let Some(name) = name.filter(|name| name.starts_with(commit.as_str())) {
            let directory = places.repository.join(name);
            let rules = submodules::without_suffix(&name[commit.as_str().len()..]);
            let objects = match places.objects == mirror.objects() {
                true => places.objects.clone(),
                false => places.repository.join(format!("objects{rules}")),
            };
            if let Some(base) = Self::open(&directory, &objects, commit)? {
                return Ok(Some(base));
            }
        }
        if let Some(base) = Self::open(&places.directory, &places.objects, commit)? {
            return Ok(Some(base));
        }
        // The history may have been fetched whole since, or cut off elsewhere.
        let begins = format!("{commit}-{}", &rules.digest().hex()[..16]);
        let entries = match std::fs::read_dir(&places.repository) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            entries => at(&places.repository, entries)?,
        };
        for entry in entries {
            let name = at(&places.repository, entry)?.file_name();
            let Some(cut) = name.to_str().and_then(|name| name.strip_prefix(&begins)) else {
                continue;
            };
            let objects = match rules.denies() {
                true => {
                    let rules = &rules.digest().hex()[..16];
                    let cut = submodules::without_suffix(cut);
                    places.repository.join(format!("objects-{rules}{cut}"))
                }
                false => places.objects.clone(),
            };
            if let Some(base) = Self::open(&places.repository.join(&name), &objects, commit)? {
                return Ok(Some(base));
            }
        }
        Ok(None)
    }

    /// The base at `directory` if there is a complete one.
    fn open(directory: &Path, objects: &Path, commit: &GitOid) -> Result<Option<Self>, BaseError> {
        let marker = directory.join("complete");
        match std::fs::read(&marker) {
            Ok(text) if text == LAYOUT.as_bytes() => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return at(&marker, Err(error)),
        }
        let path = directory.join("manifest");
        let manifest = Arc::new(at(&path, Manifest::load(&path))?);
        let submodules = Arc::new(submodules::load(directory)?);
        let (directory, objects) = (directory.to_owned(), objects.to_owned());
        Ok(Some(Self { directory, objects, commit: commit.clone(), manifest, submodules }))
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &GitOid {
        &self.commit
    }

    /// The checked-out tree, with its `.git`: the lower layer of sessions. Nobody may change it.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// The objects that the sandbox sees at [`OBJECTS_INSIDE`], to be bound there read-only.
    #[must_use]
    pub fn objects(&self) -> &Path {
        &self.objects
    }

    /// The blobs that the rules withhold from [`Base::objects`], each with a path at which it stood.
    ///
    /// # Errors
    /// [`BaseError`]: the store's state can't be read.
    pub fn withheld(&self) -> Result<BTreeMap<GitOid, WorkspacePath>, BaseError> {
        objects::withheld(&self.objects)
    }

    /// An index of the commit whose stat data is right as the host sees the tree.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.directory.join("index")
    }

    /// What the commit holds.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The submodules, by their paths: of those that are not absent the files are there.
    #[must_use]
    pub fn submodules(&self) -> &[Submodule] {
        &self.submodules
    }

    /// An index of a submodule's commit, as [`Base::index`].
    pub(crate) fn submodule_index(&self, submodule: &WorkspacePath) -> PathBuf {
        submodules::index(&self.directory, &self.submodules, submodule)
    }

    /// What tells it from other bases of the repository.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.directory.file_name()?.to_str()
    }
}

/// Makes everything below `path` durable (all that its file system has not written yet).
fn sync(path: &Path) -> std::io::Result<()> {
    Ok(nix::unistd::syncfs(std::fs::File::open(path)?)?)
}
