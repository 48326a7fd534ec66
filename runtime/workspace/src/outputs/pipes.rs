//! Pipes where git would read a file: it would wait for the other end for ever.

use std::path::{Path, PathBuf};

use custody_model::WorkspacePath;
use custody_record::event::PolicyViolated;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{OutputError, OutputRequest};
use crate::gate::violation;

/// The files of a work tree that git opens without asking what they are.
const READ_BY_GIT: [&[u8]; 3] = [b".gitignore", b".gitattributes", b".gitmodules"];

/// Special files under those names, covered by an empty one in this mount namespace until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    covered: Vec<PathBuf>,
}

impl Pipes {
    /// Finds and covers them all. The sandbox has ended: nothing moves any more.
    pub(super) fn cover(
        request: &OutputRequest<'_>,
        violations: &mut Vec<PolicyViolated>,
    ) -> Result<Self, OutputError> {
        let mut pipes = Self::default();
        let mut waiting = vec![WorkspacePath::root()];
        while let Some(directory) = waiting.pop() {
            let place = request.clean_path.join(directory.as_path());
            let failed = |source| OutputError::File { path: place.clone(), source };
            for entry in std::fs::read_dir(&place).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let name = std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str());
                let kind = entry.file_type().map_err(failed)?;
                // Deeper than a path can be: git can't name it either.
                let Ok(path) = directory.join(name) else { continue };
                if kind.is_dir() {
                    if path.as_bytes() != b".git" {
                        waiting.push(path);
                    }
                } else if !kind.is_file() && !kind.is_symlink() && READ_BY_GIT.contains(&name) {
                    pipes.cover_one(&entry.path())?;
                    violations.push(violation(&path, "it is neither a file nor a link"));
                }
            }
        }
        Ok(pipes)
    }

    fn cover_one(&mut self, place: &Path) -> Result<(), OutputError> {
        let none: Option<&str> = None;
        mount(Some("/dev/null"), place, none, MsFlags::MS_BIND, none)
            .map_err(|errno| OutputError::File { path: place.to_owned(), source: errno.into() })?;
        self.covered.push(place.to_owned());
        Ok(())
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        for place in &self.covered {
            if let Err(errno) = umount2(place, MntFlags::MNT_DETACH) {
                tracing::warn!(path = %place.display(), %errno, "a covered pipe stays covered");
            }
        }
    }
}
