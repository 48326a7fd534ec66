//! Somebody's own checkout: where its parts are. Read as data; git never runs with its configuration.

mod traps;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::git::{FOREIGN_PATIENCE, Git};
use crate::regular;

/// Longest `.git` or `commondir` file that is read, in bytes.
const MAX_LINK_BYTES: u64 = 64 << 10;

/// A checkout (or bare repository) on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    root: PathBuf,
    git_dir: PathBuf,
    common_dir: PathBuf,
}

/// Why a directory is not in a checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// No directory from here up to the root has a `.git`.
    #[error("{0} is not in a git repository")]
    NotFound(PathBuf),
    /// Something in its git directory is no file, and git would wait for it.
    #[error(
        "{0} is neither a file nor a directory: git would wait for it, so this repository is not read"
    )]
    Trap(PathBuf),
    /// Something that should be readable is not.
    #[error("{path} can't be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Checkout {
    /// The checkout that `start` is in.
    ///
    /// # Errors
    /// [`CheckoutError`].
    pub fn find(start: &Path) -> Result<Self, CheckoutError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            |source| CheckoutError::Unreadable { path, source }
        };
        let start = start.canonicalize().map_err(unreadable(start))?;
        for directory in start.ancestors() {
            let dot_git = directory.join(".git");
            let git_dir = if dot_git.is_dir() {
                dot_git
            } else if dot_git.is_file() {
                let text = regular::read(&dot_git, MAX_LINK_BYTES).map_err(unreadable(&dot_git))?;
                match text.trim_ascii().strip_prefix(b"gitdir: ") {
                    Some(place) => directory.join(OsStr::from_bytes(place)),
                    None => continue,
                }
            } else if directory.join("HEAD").is_file() && directory.join("objects").is_dir() {
                directory.to_owned()
            } else {
                continue;
            };
            let git_dir = git_dir.canonicalize().map_err(unreadable(&git_dir))?;
            let common = git_dir.join("commondir");
            let common_dir = match regular::read(&common, MAX_LINK_BYTES) {
                Ok(text) => git_dir.join(OsStr::from_bytes(text.trim_ascii())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => git_dir.clone(),
                Err(error) => return Err(unreadable(&common)(error)),
            };
            let common_dir = common_dir.canonicalize().map_err(unreadable(&common_dir))?;
            let own = (!git_dir.starts_with(&common_dir)).then_some(&git_dir);
            for place in own.into_iter().chain([&common_dir]) {
                if let Some(trap) = traps::find(place).map_err(unreadable(place))? {
                    return Err(CheckoutError::Trap(trap));
                }
            }
            return Ok(Self { root: directory.to_owned(), git_dir, common_dir });
        }
        Err(CheckoutError::NotFound(start))
    }

    /// The root of the work tree (of a bare repository: itself).
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its git directory: that of the linked work tree, if it is one.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The git directory that its linked work trees share.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Where it was cloned from: `remote.origin.url` of its configuration, with included files left out.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let found = self.configured("^remote[.]origin[.]url$");
        found.into_iter().map(|(_, url)| url.trim().to_owned()).find(|url| !url.is_empty())
    }

    /// The items of its configuration whose keys match a pattern, with included files left out. None, if it can't be read.
    pub(crate) fn configured(&self, pattern: &str) -> Vec<(String, String)> {
        let file = self.common_dir.join("config");
        let words: [&OsStr; 7] = [
            OsStr::new("config"),
            OsStr::new("--no-includes"),
            OsStr::new("--null"),
            OsStr::new("--file"),
            file.as_os_str(),
            OsStr::new("--get-regexp"),
            OsStr::new(pattern),
        ];
        let git = Git::nowhere().with_patience(FOREIGN_PATIENCE);
        let Ok(listed) = git.run(&words) else { return Vec::new() };
        let listed = String::from_utf8_lossy(&listed);
        let items = listed.split('\0').filter(|item| !item.is_empty());
        // A key without a value stands for true.
        let item = |item: &str| match item.split_once('\n') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (item.to_owned(), "true".to_owned()),
        };
        items.map(item).collect()
    }
}
