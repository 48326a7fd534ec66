//! Submodules: brought from what the checkout has of them, and from nowhere else. What `.gitmodules` says of places is the
//! repository's word (an agent may have written it), and nothing is fetched from there.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use custody_model::{GitOid, WorkspacePath};
use serde::{Deserialize, Serialize};

use super::{Mirror, MirrorError, Source};
use crate::checkout::Checkout;
use crate::git::{FOREIGN_PATIENCE, GitError};

/// Most submodules of one commit, nested ones among them, that are brought.
pub const MAX_SUBMODULES: usize = 200;

/// Deepest submodule in a submodule.
const MAX_SUBMODULE_DEPTH: usize = 8;

/// Longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 300;

/// A submodule of a commit, or of a submodule of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submodule {
    /// Its directory in the workspace.
    pub path: WorkspacePath,
    /// The commit that it stands for.
    pub commit: GitOid,
    /// Why the mirror has nothing of it, in words; absent if it has the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

/// Where a checkout keeps the submodules of one repository.
struct Ground {
    /// The repository's directory in the workspace …
    path: WorkspacePath,
    /// … the commit of it …
    commit: GitOid,
    /// … and the git directory that has `modules`, if it is known.
    common_dir: Option<PathBuf>,
    depth: usize,
}

/// The ref by which a submodule's commit is kept.
pub(crate) fn kept_as(commit: &GitOid) -> String {
    format!("refs/custody/submodules/{commit}")
}

impl Mirror {
    /// Brings the commits that the submodules of `commit` stand for, those of submodules in them too, as far as the checkout has
    /// them. The others are absent, each with the reason; a later call brings what the checkout has got by then.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub fn bring_submodules(&self, source: &Source, commit: &GitOid) -> Result<(), MirrorError> {
        let known = self.known_submodules(commit)?;
        if known.is_some_and(|known| known.iter().all(|one| one.absent.is_none())) {
            return Ok(());
        }
        let _lock = self.lock()?;
        let checkout = match source {
            Source::Checkout(checkout) => Some(checkout),
            Source::Url(_) => None,
        };
        let mut found: Vec<Submodule> = Vec::new();
        let mut waiting = VecDeque::from([Ground {
            path: WorkspacePath::root(),
            commit: commit.clone(),
            common_dir: checkout.map(|checkout| checkout.common_dir().to_owned()),
            depth: 0,
        }]);
        while let Some(ground) = waiting.pop_front() {
            let links = self.links(&ground.commit)?;
            if links.is_empty() {
                continue;
            }
            let names = self.submodule_names(&ground.commit);
            for (link, commit) in links {
                let Ok(path) = WorkspacePath::from_bytes(&below(&ground.path, &link)) else {
                    continue;
                };
                let full = found.len() >= MAX_SUBMODULES || ground.depth >= MAX_SUBMODULE_DEPTH;
                let places = match checkout {
                    Some(checkout) => {
                        let name = names.get(&link).map(PathBuf::as_path);
                        places(checkout, &path, ground.common_dir.as_deref(), name)
                    }
                    None => Vec::new(),
                };
                let absent = match (full, checkout) {
                    (true, _) => Some(format!(
                        "more than {MAX_SUBMODULES} submodules, or deeper than {MAX_SUBMODULE_DEPTH}, are not brought"
                    )),
                    (false, checkout) => self.bring_one(checkout.is_some(), &places, &commit)?,
                };
                if absent.is_none() {
                    waiting.push_back(Ground {
                        path: path.clone(),
                        commit: commit.clone(),
                        common_dir: places.first().map(|place| place.common_dir().to_owned()),
                        depth: ground.depth + 1,
                    });
                }
                found.push(Submodule { path, commit, absent });
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        self.know_submodules(commit, &found)
    }

    /// The submodules of a commit, as far as they were looked for, by their paths.
    ///
    /// # Errors
    /// [`MirrorError::File`].
    pub fn submodules(&self, commit: &GitOid) -> Result<Vec<Submodule>, MirrorError> {
        Ok(self.known_submodules(commit)?.unwrap_or_default())
    }

    fn submodules_file(&self, commit: &GitOid) -> PathBuf {
        self.git_dir.join("custody-submodules").join(format!("{commit}.json"))
    }

    fn known_submodules(&self, commit: &GitOid) -> Result<Option<Vec<Submodule>>, MirrorError> {
        let path = self.submodules_file(commit);
        match std::fs::read(&path) {
            // One that a power loss cut is looked for anew.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MirrorError::File { path, source }),
        }
    }

    fn know_submodules(&self, commit: &GitOid, found: &[Submodule]) -> Result<(), MirrorError> {
        let path = self.submodules_file(commit);
        let next = path.with_extension("next");
        let failed = |source| MirrorError::File { path: path.clone(), source };
        let directory = path.parent().unwrap_or(&self.git_dir);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let bytes = serde_json::to_vec(found).map_err(|error| failed(error.into()))?;
        std::fs::write(&next, bytes).map_err(failed)?;
        std::fs::rename(&next, &path).map_err(failed)
    }

    /// The paths of a commit at which it has another repository's commit.
    fn links(&self, commit: &GitOid) -> Result<Vec<(Vec<u8>, GitOid)>, MirrorError> {
        let listed = self.git().run(&["ls-tree", "-r", "-z", "--full-tree", commit.as_str()])?;
        let link = |line: &[u8]| {
            let (head, path) = line.split_at_checked(line.iter().position(|b| *b == b'\t')?)?;
            let commit = std::str::from_utf8(head).ok()?.strip_prefix("160000 commit ")?;
            Some((path[1..].to_vec(), commit.parse().ok()?))
        };
        Ok(listed.split(|b| *b == 0).filter_map(link).collect())
    }

    /// Why it can't be brought, if it can't.
    fn bring_one(
        &self,
        from_checkout: bool,
        places: &[Checkout],
        commit: &GitOid,
    ) -> Result<Option<String>, MirrorError> {
        let kept = kept_as(commit);
        if self.git().asks(&["rev-parse", "--quiet", "--verify", &kept])? {
            return Ok(None);
        }
        let mut why = match from_checkout {
            true => "it is not initialised in the checkout: `git submodule update --init` there".to_owned(),
            false => "the repository is fetched from a URL, and submodules are brought from a checkout alone".to_owned(),
        };
        for place in places {
            let source = Source::Checkout(place.clone());
            if source.is_shallow() {
                why = "its history is cut off in the checkout: `git fetch --unshallow` there"
                    .to_owned();
                continue;
            }
            let (location, own) = (source.location(), source.upload_pack());
            let refspec = format!("{commit}:{kept}");
            let mut words = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
            words.push("--no-recurse-submodules");
            words.extend(own.as_deref());
            words.extend(["--", &location, &refspec]);
            match self.git().with_patience(FOREIGN_PATIENCE).run(&words) {
                Ok(_) => return Ok(None),
                // It lacks the commit or parts of it, or is of another object format.
                Err(GitError::Failed { stderr, .. }) => {
                    let said: String = stderr.chars().take(MAX_REASON_CHARS).collect();
                    why = format!("the checkout does not have commit {}: {said}", commit.short());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(why))
    }

    /// The names of submodules, by their paths.
    fn submodule_names(&self, commit: &GitOid) -> BTreeMap<Vec<u8>, PathBuf> {
        let modules = format!("{commit}:.gitmodules");
        let words =
            ["config", "--blob", &modules, "--null", "--get-regexp", r"^submodule\..*\.path$"];
        let listed = self.git().run(&words).unwrap_or_default();
        let item = |item: &[u8]| {
            let end = item.iter().position(|b| *b == b'\n')?;
            let name = item[..end].strip_prefix(b"submodule.")?.strip_suffix(b".path")?;
            Some((item[end + 1..].to_vec(), PathBuf::from(OsStr::from_bytes(name))))
        };
        listed.split(|b| *b == 0).filter_map(item).collect()
    }
}

/// A path of a repository at `root`, as it is in the workspace.
pub(crate) fn below(root: &WorkspacePath, path: &[u8]) -> Vec<u8> {
    match root.is_root() {
        true => path.to_vec(),
        false => [root.as_bytes(), b"/", path].concat(),
    }
}

/// Where a checkout may have a submodule: where it is checked out, and where git keeps it.
fn places(
    checkout: &Checkout,
    path: &WorkspacePath,
    common_dir: Option<&Path>,
    name: Option<&Path>,
) -> Vec<Checkout> {
    let there = checkout.root().join(path.as_path());
    let normal = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    let kept = name
        .filter(|name| normal(name))
        .and_then(|name| Some(common_dir?.join("modules").join(name)));
    let candidates = [Some(there), kept].into_iter().flatten();
    let found = candidates.filter_map(|place| {
        let found = Checkout::find(&place).ok()?;
        // Not the repository around it, and by no link out of the checkout.
        (found.root() == place && found.common_dir() != checkout.common_dir()).then_some(found)
    });
    found.collect()
}
