//! The guard: a file system of the keeper that mirrors a workspace and decides and records each
//! operation before it happens.
//!
//! It reaches the workspace through one directory descriptor (the keeper's clean view), name by
//! name, and never follows a link there. It writes to the record through an
//! [`AccessSink`] and knows no other way out. It never touches its own mount.
//!
//! Decisions:
//! - A denied name is shown as a placeholder without content. Opening, listing, reading or changing
//!   it is `EACCES`, and so is looking for anything below it. Each attempt is recorded; the kernel
//!   may keep no answer about it.
//! - A change of what is read-only is `EROFS`: what a read-only mount answers. No program tries to
//!   help itself with chmod then.
//! - Nothing guarded can be renamed, linked or removed, and neither can a directory above it be
//!   renamed; nothing new can be made where a rule guards. Rules thus hold for inodes, not only
//!   for names.
//! - What the record does not take does not happen: `EIO`.
//!
//! Invariant: no operation that changes the workspace comes before its event.
//! Invariant: the version of a file is hashed before the close that ends its writing returns. Writes
//! through a mapping that outlives its descriptor are found by the next open, fsync or close, and
//! by the comparison at the end of the session.
//! Invariant: size and times are trusted only of a file that was never open for writing here. Any other is hashed
//! again when it is opened; its content is uncertain while somebody can write to it.

mod aliases;
mod attributes;
mod backing;
mod caller;
mod data;
mod entries;
mod filesystem;
mod handle;
mod lookup;
mod mount;
mod node;
mod open;
mod rename;
mod rules;
mod server;
mod table;
mod xattr;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use custody_model::Clock;
use custody_policy::PathRules;
use fuser::{Session, SessionACL};
use nix::errno::Errno;

use self::filesystem::Mediated;
use self::handle::Handles;
use self::server::Server;
use self::table::Table;
use crate::access::AccessSink;
use crate::content::Contents;

/// What a guard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardMode {
    /// Its mount is private; parts of it are bind-mounted over the guarded paths of a workspace
    /// that is observed otherwise.
    Paths,
    /// It is the workspace.
    Strict,
}

impl GuardMode {
    /// The source that the mount shows.
    const fn source(self) -> &'static str {
        match self {
            Self::Paths => "custody-guard",
            Self::Strict => "custody-workspace",
        }
    }
}

/// How much a guard holds and looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Most descriptors of directories that are kept open.
    pub directories: usize,
    /// Most entries that are looked at before a directory is renamed; a rename of a larger one is
    /// refused where a rule could match below it.
    pub rename_entries: usize,
    /// How long the kernel may keep names and attributes. Only the mount changes them.
    pub ttl: Duration,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { directories: 2048, rename_entries: 1_000_000, ttl: Duration::from_secs(3600) }
    }
}

/// What a guard needs.
pub struct GuardConfig {
    /// The root directory of the workspace as the keeper sees it; `O_PATH` will do. Its device and
    /// inode numbers must not change while it is mounted, also when a file is copied up: an overlay
    /// needs its layers on one file system, or `xino`.
    pub backing: OwnedFd,
    /// What is guarded.
    pub rules: PathRules,
    /// What it is for.
    pub mode: GuardMode,
    /// What version each path has.
    pub contents: Arc<Contents>,
    /// Where the record is.
    pub sink: Arc<dyn AccessSink>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Let the kernel move the data of files itself where it can; the record is the same.
    pub passthrough: bool,
    /// Threads that serve requests, at least one. More than two cost more than they win.
    pub threads: usize,
    /// Look at every file at the start for hard links of guarded ones. Not needed for a checkout
    /// of this crate, in which nothing guarded has a second name.
    pub scan_links: bool,
    /// How much it holds and looks at.
    pub limits: GuardLimits,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The backing can't be used.
    #[error("the workspace behind the guard can't be read")]
    Backing(#[source] Errno),
    /// The device can't be opened.
    #[error("/dev/fuse can't be opened: is the module fuse loaded, and may this process use it?")]
    Device(#[source] std::io::Error),
    /// The mount was refused.
    #[error("the guard can't be mounted at {target}")]
    Mount {
        /// Where.
        target: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The kernel and the guard did not agree.
    #[error("the guard can't serve its mount")]
    Serve(#[source] std::io::Error),
    /// The mount could not be taken away.
    #[error("the guard can't be unmounted from {target}")]
    Unmount {
        /// Where.
        target: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// A version of an open file could not be hashed or recorded.
    #[error("a file that is open for writing could not be recorded")]
    Settle(#[source] Errno),
    /// A thread of the guard ended by a panic.
    #[error("a thread of the guard panicked")]
    Panicked,
}

/// A mounted guard. It ends when it is dropped.
pub struct Guard {
    target: PathBuf,
    server: Arc<Server>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Guard {
    /// Mounts a guard at the directory `target` and serves it.
    ///
    /// # Errors
    /// [`GuardError`]; nothing is mounted then.
    pub fn mount(config: GuardConfig, target: &Path) -> Result<Self, GuardError> {
        let backing = mount::alone(config.backing);
        let aliases = if config.scan_links {
            aliases::find(backing.as_fd(), &config.rules).map_err(GuardError::Backing)?
        } else {
            HashMap::new()
        };
        let table = Table::new(backing, config.limits.directories).map_err(GuardError::Backing)?;
        let server = Arc::new(Server {
            rules: config.rules,
            contents: config.contents,
            sink: config.sink,
            clock: config.clock,
            table,
            handles: Handles::default(),
            names: RwLock::new(()),
            passthrough: AtomicBool::new(config.passthrough),
            ttl: config.limits.ttl,
            max_rename_entries: config.limits.rename_entries,
            aliases,
            notifier: OnceLock::new(),
        });
        let device = mount::open_device().map_err(GuardError::Device)?;
        mount::mount_at(&device, config.mode.source(), target)
            .map_err(|source| GuardError::Mount { target: target.to_owned(), source })?;
        // From here on a failure must take the mount away: this value does it.
        let mut guard = Self { target: target.to_owned(), server, thread: None };
        guard.serve(device, config.threads.max(1)).map_err(GuardError::Serve)?;
        Ok(guard)
    }

    fn serve(&mut self, device: std::fs::File, threads: usize) -> std::io::Result<()> {
        let mut options = fuser::Config::default();
        options.acl = SessionACL::All;
        options.n_threads = Some(threads);
        options.clone_fd = threads > 1;
        let filesystem = Mediated(Arc::clone(&self.server));
        let session = Session::from_fd(filesystem, device.into(), SessionACL::All, options)?;
        if self.server.notifier.set(session.notifier()).is_err() {
            tracing::debug!("the guard had a notifier already");
        }
        let builder = std::thread::Builder::new().name("guard".to_owned());
        self.thread = Some(builder.spawn(move || session.run())?);
        Ok(())
    }

    /// Where it is mounted.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Whether the kernel agreed to move data itself.
    #[must_use]
    pub fn passthrough(&self) -> bool {
        self.server.passthrough.load(Ordering::Relaxed)
    }

    /// What brings the record up to date, for those who have to before an effect.
    #[must_use]
    pub fn settling(&self) -> Settling {
        Settling(Arc::clone(&self.server))
    }

    /// Ends the guard, whoever still uses it and wherever else it is mounted: they get `ENOTCONN`.
    /// No thread is left.
    ///
    /// # Errors
    /// [`GuardError::Unmount`], [`GuardError::Serve`] if serving had ended with an error,
    /// [`GuardError::Panicked`].
    pub fn unmount(mut self) -> Result<(), GuardError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), GuardError> {
        if self.target.as_os_str().is_empty() {
            return Ok(());
        }
        let target = std::mem::take(&mut self.target);
        mount::end(&target).map_err(|source| GuardError::Unmount { target, source })?;
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(served)) => served.map_err(GuardError::Serve),
            Some(Err(_)) => Err(GuardError::Panicked),
        }
    }
}

/// Brings the record of a guard up to date. It may outlive the guard: nothing is open then.
#[derive(Clone)]
pub struct Settling(Arc<Server>);

impl Settling {
    /// Records the present version of each file that is open for writing (as still open), or whose
    /// last close is on its way. Everything else is in the record before the operation returns.
    ///
    /// # Errors
    /// [`GuardError::Settle`].
    pub fn settle(&self) -> Result<(), GuardError> {
        self.0.settle().map_err(GuardError::Settle)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the guard did not end well");
        }
    }
}
