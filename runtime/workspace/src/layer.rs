//! A session's layer of the overlay: what it holds is all that can differ from the base.
//!
//! Read after the sandbox has ended, so that the end of a session costs what it changed, and not what the repository has.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use custody_model::WorkspacePath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};

use crate::mount::beneath;

/// Most separate places: git compares each with each path of its index. If there are more, their parent directories stand for them.
const MAX_PLACES: usize = 200;

/// Most bytes of all their paths: they are arguments of a program.
const MAX_PLACES_BYTES: usize = 64 << 10;

/// Where a work tree is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    /// Everywhere.
    Everything,
    /// At these paths and below them.
    Places(BTreeSet<WorkspacePath>),
}

impl Within {
    /// Where the layer whose root is `upper` may differ from the base. The repository's own `.git` is none of it.
    ///
    /// # Errors
    /// A directory of the layer can't be read.
    pub(crate) fn touched(upper: &Path) -> io::Result<Self> {
        let root = File::open(upper)?;
        let mut places = BTreeSet::new();
        let mut open = vec![WorkspacePath::root()];
        while let Some(directory) = open.pop() {
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            let opened = match beneath(root.as_fd(), directory.as_path().as_os_str(), flags) {
                Ok(opened) => opened,
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                    places.insert(directory);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for entry in Dir::from_fd(opened)?.iter() {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") || (name == b".git" && directory.is_root()) {
                    continue;
                }
                match directory.join(name) {
                    Ok(path) if is_copied_directory(root.as_fd(), &path)? => open.push(path),
                    Ok(path) => {
                        places.insert(path);
                    }
                    // Too long to be told: its directory is.
                    Err(_) => {
                        places.insert(directory.clone());
                    }
                }
            }
        }
        Ok(Self::Places(places).bounded())
    }

    /// With these as well.
    pub(crate) fn and(self, paths: impl IntoIterator<Item = WorkspacePath>) -> Self {
        match self {
            Self::Everything => Self::Everything,
            Self::Places(mut places) => {
                places.extend(paths);
                Self::Places(places).bounded()
            }
        }
    }

    /// The deepest cut at which there are few enough.
    fn bounded(self) -> Self {
        let Self::Places(places) = self else { return self };
        let few = |places: &BTreeSet<WorkspacePath>| {
            let bytes: usize = places.iter().map(|path| path.as_bytes().len() + 1).sum();
            places.len() <= MAX_PLACES && bytes <= MAX_PLACES_BYTES
        };
        if few(&places) {
            return Self::Places(places);
        }
        let depth = |path: &WorkspacePath| path.as_bytes().split(|b| *b == b'/').count();
        for deepest in (1..places.iter().map(depth).max().unwrap_or(1)).rev() {
            let cut: BTreeSet<_> = places
                .iter()
                .filter_map(|path| {
                    let names = path.as_bytes().split(|b| *b == b'/').take(deepest);
                    WorkspacePath::from_bytes(&names.collect::<Vec<_>>().join(&b'/')).ok()
                })
                .collect();
            if few(&cut) {
                return Self::Places(cut);
            }
        }
        Self::Everything
    }
}

/// Whether a directory of the base was only copied up, because something in it changed: what it does not hold is as in the base.
fn is_copied_directory(upper: BorrowedFd<'_>, path: &WorkspacePath) -> io::Result<bool> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let found = match beneath(upper, path.as_path().as_os_str(), flags) {
        Ok(found) => found,
        Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => return Ok(false),
        Err(error) => return Err(error),
    };
    if kind_of(&fstat(found.as_fd())?) != libc::S_IFDIR {
        return Ok(false);
    }
    let attribute = |name| overlay_attribute(found.as_fd(), name);
    let moved =
        attribute(c"trusted.overlay.redirect")?.is_some_and(|value| !leads_to(&value, path));
    let opaque = attribute(c"trusted.overlay.opaque")?.is_some_and(|value| value == b"y");
    Ok(attribute(c"trusted.overlay.origin")?.is_some() && !moved && !opaque)
}

/// The type of a file, of its mode.
pub(crate) fn kind_of(stat: &FileStat) -> libc::mode_t {
    stat.st_mode & libc::S_IFMT
}

/// Overlayfs hides a name of a lower layer by a character device 0/0, or by an empty file with an attribute (Linux
/// documentation, filesystems/overlayfs, "whiteouts and opaque directories").
pub(crate) fn is_whiteout(file: BorrowedFd<'_>, stat: &FileStat) -> Result<bool, Errno> {
    Ok(match kind_of(stat) {
        libc::S_IFCHR => stat.st_rdev == 0,
        libc::S_IFREG if stat.st_size == 0 => {
            overlay_attribute(file, c"trusted.overlay.whiteout")?.is_some()
        }
        _ => false,
    })
}

/// The first bytes of an attribute of an open file (`O_PATH` will do); `None` if it hasn't got it.
pub(crate) fn overlay_attribute(
    file: BorrowedFd<'_>,
    name: &CStr,
) -> Result<Option<Vec<u8>>, Errno> {
    /// Bytes that are looked at; of a longer value only the presence matters.
    const ROOM: usize = 256;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    let mut value = vec![0u8; ROOM];
    // SAFETY: both strings end with NUL; `value` has as many bytes as the call is told.
    let answer = unsafe {
        libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    };
    match Errno::result(answer) {
        Ok(length) => {
            value.truncate(usize::try_from(length).unwrap_or(0));
            Ok(Some(value))
        }
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(Errno::ERANGE) => Ok(Some(value)),
        Err(errno) => Err(errno),
    }
}

/// Whether a directory's redirection (Linux documentation, filesystems/overlayfs, "redirect_dir": a path from the root of the
/// lower layer, or a name beside it) leads to where it stands itself.
pub(crate) fn leads_to(redirect: &[u8], path: &WorkspacePath) -> bool {
    match redirect.strip_prefix(b"/") {
        Some(lower) => lower == path.as_bytes(),
        None => path.as_path().file_name().is_some_and(|n| n.as_encoded_bytes() == redirect),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cut_loses_no_place(
            paths in proptest::collection::btree_set("[ab]{1,2}(/[abcd]{1,3}){0,4}", 0..900),
        ) {
            let paths: BTreeSet<WorkspacePath> =
                paths.iter().map(|path| path.parse().unwrap()).collect();
            if let Within::Places(places) = Within::Places(paths.clone()).bounded() {
                prop_assert!(places.len() <= MAX_PLACES);
                for path in &paths {
                    prop_assert!(places.iter().any(|place| path.starts_with(place)), "{path}");
                }
            }
        }
    }
}
