//! The session's view: the overlay, and the guard at the paths that a rule guards.

mod guarded;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use custody_model::WorkspacePath;
use custody_policy::PathRules;

use crate::base::Base;
use crate::mount::{self, MountError};
use crate::overlay::{Overlay, OverlayConfig, OverlayError, Owner};

pub(crate) use guarded::topmost_denied;
pub use guarded::{GuardedPath, MAX_GUARDED_PATHS, guarded_paths};

/// How a session's workspace is mediated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mediation {
    /// The overlay at native speed, seen by the observer, with the guard at these paths (none, if no rule guards
    /// anything that the base has).
    Observed {
        /// Where the guard lies, sorted; none lies below another.
        guarded: Vec<GuardedPath>,
    },
    /// The guard lies at the root and decides everything.
    Strict {
        /// Why: the policy says so, or there are too many guarded paths.
        reason: StrictReason,
    },
}

/// Why a workspace is strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrictReason {
    /// The policy or the request says so.
    Asked,
    /// The rules guard more paths than can be mounted one by one.
    TooManyGuardedPaths {
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

/// What to prepare.
#[derive(Clone, Debug)]
pub struct WorkspaceConfig<'a> {
    /// The base checkout.
    pub base: &'a Base,
    /// The rules: the ones that the base was made with.
    pub rules: &'a PathRules,
    /// Mediate everything synchronously.
    pub strict: bool,
    /// The session's directory for the workspace: `upper`, `work` and private mount points are made in it.
    pub directory: &'a Path,
    /// Owner of the workspace's root, as the host sees it.
    pub owner: Owner,
    /// Most guarded paths that are mounted one by one.
    pub max_guarded_paths: usize,
}

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The overlay can't be mounted.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A mount failed.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A mount point can't be made.
    #[error("the mount point {path} can't be made")]
    MountPoint {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The guard can't be laid over a path.
    #[error("the guard can't be laid over {path:?}")]
    Guard {
        /// Which.
        path: WorkspacePath,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The guard is needed and not mounted where it should be: without it nothing may start.
    #[error("no guard is mounted at {0}, and rules need one")]
    NoGuard(PathBuf),
}

/// A session's workspace in the keeper's mount namespace, whose mounts must be private.
///
/// Order: [`Workspace::prepare`]; the keeper mounts the guard at [`Workspace::guard_point`] if
/// [`Workspace::needs_guard`]; [`Workspace::attach`]. All mounts go with the mount namespace; [`Workspace::detach`]
/// takes them away before.
#[derive(Debug)]
pub struct Workspace {
    overlay: Overlay,
    mediation: Mediation,
    view: PathBuf,
    clean: PathBuf,
    guard: PathBuf,
}

impl Workspace {
    /// Mounts the overlay, for nobody to see yet but the keeper.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn prepare(config: &WorkspaceConfig<'_>) -> Result<Self, ViewError> {
        let mediation = if config.strict {
            Mediation::Strict { reason: StrictReason::Asked }
        } else {
            let guarded = guarded_paths(config.rules, config.base.manifest());
            if guarded.len() > config.max_guarded_paths {
                let (found, limit) = (guarded.len(), config.max_guarded_paths);
                Mediation::Strict { reason: StrictReason::TooManyGuardedPaths { found, limit } }
            } else {
                Mediation::Observed { guarded }
            }
        };
        let point = |name: &str| {
            let path = config.directory.join(name);
            match std::fs::create_dir_all(&path) {
                Ok(()) => Ok(path),
                Err(source) => Err(ViewError::MountPoint { path, source }),
            }
        };
        let (view, clean, guard) = (point("view")?, point("clean")?, point("guard")?);
        let overlay = Overlay::mount(&OverlayConfig {
            lower: &config.base.tree(),
            layers: config.directory,
            owner: config.owner,
        })?;
        overlay.attach(&clean)?;
        Ok(Self { overlay, mediation, view, clean, guard })
    }

    /// The root of the clean view: no guard, no other mount on it. The guard's backing and the observer's mark.
    #[must_use]
    pub fn clean(&self) -> BorrowedFd<'_> {
        self.overlay.clean()
    }

    /// The clean view as a path of this mount namespace.
    #[must_use]
    pub fn clean_path(&self) -> &Path {
        &self.clean
    }

    /// The session's upper directory: what it changed.
    #[must_use]
    pub fn upper(&self) -> &Path {
        self.overlay.upper()
    }

    /// How it is mediated.
    #[must_use]
    pub fn mediation(&self) -> &Mediation {
        &self.mediation
    }

    /// Whether a guard has to be mounted at [`Workspace::guard_point`] before [`Workspace::attach`].
    #[must_use]
    pub fn needs_guard(&self) -> bool {
        match &self.mediation {
            Mediation::Observed { guarded } => !guarded.is_empty(),
            Mediation::Strict { .. } => true,
        }
    }

    /// The empty directory where the guard is to be mounted; it mirrors the whole workspace.
    #[must_use]
    pub fn guard_point(&self) -> &Path {
        &self.guard
    }

    /// What the sandbox gets as its workspace, once it is attached.
    #[must_use]
    pub fn view(&self) -> &Path {
        &self.view
    }

    /// Attaches the view: the overlay with the guard on its guarded paths, or the guard alone.
    ///
    /// # Errors
    /// [`ViewError`]; the view must not be used then.
    pub fn attach(&self) -> Result<(), ViewError> {
        if self.needs_guard() && !is_mount_point(&self.guard) {
            return Err(ViewError::NoGuard(self.guard.clone()));
        }
        let guarded = match &self.mediation {
            Mediation::Strict { .. } => {
                let root = directory(&self.guard)?;
                let clone = mount::clone_of(root.as_fd())?;
                mount::attach(clone.as_fd(), &self.view)?;
                return Ok(());
            }
            Mediation::Observed { guarded } => guarded,
        };
        self.overlay.attach(&self.view)?;
        if guarded.is_empty() {
            return Ok(());
        }
        let (from, to) = (directory(&self.guard)?, directory(&self.view)?);
        for GuardedPath { path, .. } in guarded {
            let failed = |source| ViewError::Guard { path: path.clone(), source };
            let relative = path.as_path().as_os_str();
            let clone = mount::clone_below(from.as_fd(), relative).map_err(failed)?;
            let place = mount::beneath(to.as_fd(), relative, libc::O_PATH).map_err(failed)?;
            mount::attach_at(clone.as_fd(), place.as_fd()).map_err(failed)?;
        }
        Ok(())
    }

    /// Takes the view and the clean path away; the guard is the keeper's to unmount, after this.
    ///
    /// # Errors
    /// [`ViewError::Mount`].
    pub fn detach(&self) -> Result<(), ViewError> {
        for point in [&self.view, &self.clean] {
            if is_mount_point(point) {
                mount::detach(point)?;
            }
        }
        Ok(())
    }
}

fn directory(path: &Path) -> Result<std::fs::File, ViewError> {
    std::fs::File::open(path)
        .map_err(|source| ViewError::MountPoint { path: path.to_owned(), source })
}

/// Whether something is mounted at this directory.
fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|at| at.dev()).ok();
    match path.parent() {
        Some(parent) => device(path) != device(parent),
        None => true,
    }
}
