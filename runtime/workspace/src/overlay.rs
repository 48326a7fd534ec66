//! The overlay of one session: its own writable layer on the shared base checkout.
//!
//! It is mounted detached first: that mount, known only by its descriptor, is the keeper's clean view, on which no guard
//! lies. What the sandbox sees is a clone of it. Both are the same file system: one superblock, one mark.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::mount::{self, MountError};

/// What to mount.
#[derive(Clone, Debug)]
pub struct OverlayConfig<'a> {
    /// The shared read-only tree.
    pub lower: &'a Path,
    /// An empty directory for the session's upper and work directories, on one file system that overlayfs can write.
    pub layers: &'a Path,
    /// Owner of the root directory, as the host sees it.
    pub owner: Owner,
}

/// A user and group id, as the host sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Why there is no overlay.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// A layer can't be made.
    #[error("the session's layer {path} can't be made")]
    Layer {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It can't be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
}

/// A mounted overlay. It goes with the last of its mounts: this descriptor and what was attached.
#[derive(Debug)]
pub struct Overlay {
    /// Closing it ends the detached mount.
    mount: OwnedFd,
    root: OwnedFd,
    upper: PathBuf,
}

impl Overlay {
    /// Mounts it, detached, `nosuid` and `nodev`.
    ///
    /// # Errors
    /// [`OverlayError`].
    pub fn mount(config: &OverlayConfig<'_>) -> Result<Self, OverlayError> {
        let upper = config.layers.join("upper");
        let work = config.layers.join("work");
        for directory in [&upper, &work] {
            let failed = |source| OverlayError::Layer { path: directory.clone(), source };
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let failed = |source| OverlayError::Layer { path: upper.clone(), source };
        // The root of the merged tree shows the attributes of the upper directory.
        std::os::unix::fs::chown(&upper, Some(config.owner.uid), Some(config.owner.gid))
            .map_err(failed)?;
        std::fs::set_permissions(&upper, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let mount = mount::detached(
            c"overlay",
            &[(c"lowerdir+", config.lower), (c"upperdir", &upper), (c"workdir", &work)],
            &[
                (c"index", c"on"),
                (c"nfs_export", c"on"),
                (c"redirect_dir", c"on"),
                (c"metacopy", c"off"),
                (c"xino", c"auto"),
            ],
        )?;
        let root = mount::open_directory(mount.as_fd())
            .map_err(|source| OverlayError::Layer { path: upper.clone(), source })?;
        Ok(Self { mount, root, upper })
    }

    /// The root directory of the clean view, open for reading.
    #[must_use]
    pub fn clean(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The session's upper directory: what it changed.
    #[must_use]
    pub fn upper(&self) -> &Path {
        &self.upper
    }

    /// Attaches a clone of the clean view at the directory `target` of this mount namespace.
    ///
    /// # Errors
    /// [`OverlayError::Mount`].
    pub fn attach(&self, target: &Path) -> Result<(), OverlayError> {
        let clone = mount::clone_of(self.mount.as_fd())?;
        mount::attach(clone.as_fd(), target)?;
        Ok(())
    }
}
