//! Where things are on disk: the installation's state directory and the directory of each session in it.

use std::path::{Path, PathBuf};

use custody_model::SessionId;

/// The state directory of one installation.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The directory at `path`; nothing is made.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The installation's signing key and its public half.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// The keys of what is sealed: to be kept, and backed up, apart from the records.
    #[must_use]
    pub fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// The bare mirrors.
    #[must_use]
    pub fn repositories(&self) -> PathBuf {
        self.0.join("repositories")
    }

    /// The shared base checkouts.
    #[must_use]
    pub fn bases(&self) -> PathBuf {
        self.0.join("bases")
    }

    /// The unpacked images, a directory each.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// All sessions.
    #[must_use]
    pub fn sessions(&self) -> PathBuf {
        self.0.join("sessions")
    }

    /// The installation log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The control log.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.0.join("control")
    }

    /// The index in SQLite, where nothing else is configured.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.0.join("store.sqlite")
    }

    /// What the sweeper knows of the time.
    #[must_use]
    pub fn sweeper(&self) -> PathBuf {
        self.0.join("sweeper.json")
    }

    /// The keys that the local issuer signs tokens with.
    #[must_use]
    pub fn issuer(&self) -> PathBuf {
        self.0.join("issuer")
    }

    /// One session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> SessionDir {
        SessionDir(self.sessions().join(id.to_string()))
    }
}

/// The directory of one session and the names in it.
#[derive(Clone, Debug)]
pub struct SessionDir(PathBuf);

impl SessionDir {
    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The [`SessionSpec`](crate::spec::SessionSpec), sealed with the session's key.
    #[must_use]
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.sealed")
    }

    /// The policy document, as its admin wrote it.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.0.join("policy.yaml")
    }

    /// The approvals that the request got: a JSON list of [`custody_policy::Approval`]; absent if it needs none.
    #[must_use]
    pub fn approvals(&self) -> PathBuf {
        self.0.join("approvals.json")
    }

    /// Made by the keeper before it begins the record, and never removed: whatever else is missing, this session was begun.
    #[must_use]
    pub fn begun(&self) -> PathBuf {
        self.0.join("begun")
    }

    /// The record: all that is to last.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.0.join("record")
    }

    /// Upper and work directory of the overlay, while the session lives.
    #[must_use]
    pub fn workspace(&self) -> PathBuf {
        self.0.join("workspace")
    }

    /// Sockets, mount points and the lock of the living keeper.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Held (flock) by the keeper as long as it lives.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.run().join("keeper.lock")
    }

    /// Made by the keeper at its start, so that it can leave word without room …
    #[must_use]
    pub fn waiting(&self) -> PathBuf {
        self.run().join("waiting")
    }

    /// … that it gave up waiting for the disk: it gets this name.
    #[must_use]
    pub fn gave_up(&self) -> PathBuf {
        self.run().join("gave-up")
    }

    /// Where clients attach.
    #[must_use]
    pub fn attach_socket(&self) -> PathBuf {
        self.run().join("attach.sock")
    }

    /// What the keeper says about itself: warnings and errors.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.0.join("keeper.log")
    }
}
