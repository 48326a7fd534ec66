//! Trees of any depth: walked without recursion, with two descriptors, and without a path that could be too long. An
//! agent makes directories deeper than any path by one `mkdirat` after the other.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// What is done on the way.
pub trait Visitor {
    /// Anything in a directory, directories included, before what they hold. Without a kind it is gone already.
    ///
    /// # Errors
    /// Ends the walk.
    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: Option<Type>,
    ) -> Result<(), Errno>;

    /// A directory, after all that it holds.
    ///
    /// # Errors
    /// Ends the walk.
    fn left(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno>;
}

/// A directory on the way from the root to where the walk is.
struct Level {
    name: CString,
    /// Device and inode.
    identity: (u64, u64),
    /// Directories in it that were not walked yet.
    waiting: Vec<CString>,
}

/// Walks what is below the directory `root`, following no link. What is moved away meanwhile is not walked any further.
///
/// # Errors
/// Those of the visitor, and those of reading a directory that is there.
pub fn walk(root: BorrowedFd<'_>, visitor: &mut dyn Visitor) -> Result<(), Errno> {
    let mut here = below(root, c".")?;
    let mut levels = vec![Level::enter(here.as_fd(), CString::default(), visitor)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.waiting.pop() {
            match below(here.as_fd(), &name) {
                Ok(directory) => {
                    here = directory;
                    levels.push(Level::enter(here.as_fd(), name, visitor)?);
                }
                // It is gone, or something else stands there by now.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(errno) => return Err(errno),
            }
            continue;
        }
        let Some(done) = levels.pop() else { break };
        let mut whole = true;
        while let Some(parent) = levels.last() {
            match parent.reach_from(here.as_fd()).or_else(|| reach(root, &levels)) {
                Some(directory) => {
                    here = directory;
                    break;
                }
                None => {
                    whole = false;
                    levels.pop();
                }
            }
        }
        if whole && !levels.is_empty() {
            visitor.left(here.as_fd(), &done.name)?;
        }
    }
    Ok(())
}

impl Level {
    /// Tells the visitor all entries of a directory.
    fn enter(
        directory: BorrowedFd<'_>,
        name: CString,
        visitor: &mut dyn Visitor,
    ) -> Result<Self, Errno> {
        let identity = identity(directory)?;
        let mut waiting = Vec::new();
        let listed = directory.try_clone_to_owned().map_err(errno_of)?;
        for entry in Dir::from_fd(listed)?.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = entry.file_type().or_else(|| kind_of(directory, name));
            visitor.entry(directory, name, kind)?;
            if kind == Some(Type::Directory) {
                waiting.push(name.to_owned());
            }
        }
        Ok(Self { name, identity, waiting })
    }

    /// This directory, if it is the one that holds `child`.
    fn reach_from(&self, child: BorrowedFd<'_>) -> Option<OwnedFd> {
        let parent = below(child, c"..").ok()?;
        (identity(parent.as_fd()).ok()? == self.identity).then_some(parent)
    }
}

/// The last of the levels, by all names from the root.
fn reach(root: BorrowedFd<'_>, levels: &[Level]) -> Option<OwnedFd> {
    let mut here = below(root, c".").ok()?;
    for level in levels.iter().skip(1) {
        here = below(here.as_fd(), &level.name).ok()?;
        if identity(here.as_fd()).ok()? != level.identity {
            return None;
        }
    }
    Some(here)
}

fn below(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// For file systems whose listings do not tell.
fn kind_of(directory: BorrowedFd<'_>, name: &CStr) -> Option<Type> {
    let stat = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Some(Type::Directory),
        libc::S_IFREG => Some(Type::File),
        libc::S_IFLNK => Some(Type::Symlink),
        libc::S_IFIFO => Some(Type::Fifo),
        libc::S_IFSOCK => Some(Type::Socket),
        libc::S_IFCHR => Some(Type::CharacterDevice),
        libc::S_IFBLK => Some(Type::BlockDevice),
        _ => None,
    }
}

fn identity(file: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let stat = fstat(file)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn errno_of(error: io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Removes a directory with all that it holds.
///
/// # Errors
/// Something can't be removed; `NotFound` if there is no such directory.
pub fn remove(directory: &Path) -> io::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = open(directory, flags, Mode::empty())?;
    walk(root.as_fd(), &mut Remover)?;
    std::fs::remove_dir(directory)
}

struct Remover;

impl Visitor for Remover {
    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        kind: Option<Type>,
    ) -> Result<(), Errno> {
        if kind == Some(Type::Directory) {
            return Ok(());
        }
        unlinkat(directory, name, UnlinkatFlags::NoRemoveDir)
    }

    fn left(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        unlinkat(parent, name, UnlinkatFlags::RemoveDir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories in each other, none of which the test could name by a path.
    fn chain(root: &Path, depth: usize) {
        let mut here = open(root, OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..depth {
            nix::sys::stat::mkdirat(&here, c"deep", Mode::S_IRWXU).unwrap();
            here = below(here.as_fd(), c"deep").unwrap();
        }
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY;
        openat(here, c"end", flags, Mode::S_IRWXU).unwrap();
    }

    struct Counter(u64, u64);

    impl Visitor for Counter {
        fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, _: Option<Type>) -> Result<(), Errno> {
            self.0 += 1;
            Ok(())
        }

        fn left(&mut self, _: BorrowedFd<'_>, _: &CStr) -> Result<(), Errno> {
            self.1 += 1;
            Ok(())
        }
    }

    #[test]
    fn a_tree_deeper_than_any_path_is_walked_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().join("top");
        for name in ["top", "top/wide", "top/wide/a", "top/wide/b"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        std::fs::write(top.join("wide/a/file"), "x").unwrap();
        std::os::unix::fs::symlink("/usr", top.join("wide/b/link")).unwrap();
        chain(&top, 5_000);
        let mut counter = Counter(0, 0);
        walk(std::fs::File::open(&top).unwrap().as_fd(), &mut counter).unwrap();
        assert_eq!((counter.0, counter.1), (5 + 5_001, 3 + 5_000));
        remove(&top).unwrap();
        assert!(!top.exists() && Path::new("/usr/bin").exists());
    }

    /// Moves the directory that the walk is in to another place.
    struct Mover<'a>(&'a Path, u64);

    impl Visitor for Mover<'_> {
        fn entry(&mut self, _: BorrowedFd<'_>, name: &CStr, _: Option<Type>) -> Result<(), Errno> {
            self.1 += 1;
            if name == c"moved" {
                std::fs::rename(self.0.join("from/inner"), self.0.join("to")).unwrap();
            }
            Ok(())
        }

        fn left(&mut self, _: BorrowedFd<'_>, _: &CStr) -> Result<(), Errno> {
            Ok(())
        }
    }

    #[test]
    fn what_is_moved_away_on_the_way_does_not_lead_the_walk_astray() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("from/inner/moved")).unwrap();
        std::fs::create_dir_all(root.join("from/other")).unwrap();
        let mut mover = Mover(directory.path(), 0);
        mover.0 = &root;
        walk(std::fs::File::open(&root).unwrap().as_fd(), &mut mover).unwrap();
        assert!(root.join("to/moved").exists());
        assert_eq!(mover.1, 4);
    }
}
