//! What the kernel is about to say to a rename, a removal or a hard link, where a guard is the reason; in the order in
//! which it looks (`do_renameat2`, `do_unlinkat`, `do_rmdir` and `do_linkat` of Linux 6.18).

use std::collections::HashSet;

use custody_model::WorkspacePath;
use custody_record::event::{FileDenied, Operation};
use nix::errno::Errno;

use super::{GuardedNames, MAX_PATH_BYTES, last};
use crate::inside::memory::{Memory, MemoryError};
use crate::inside::seccomp::{Name, Place, Replace};
use crate::inside::walk::{Last, Parent, Spot, Walk, trimmed};

/// A call that is refused.
pub(in crate::inside) struct Refusal {
    /// For the record.
    pub(in crate::inside) denied: FileDenied,
    /// What the caller gets.
    pub(in crate::inside) errno: Errno,
}

/// A path as it was read.
struct Given {
    place: Place,
    path: Vec<u8>,
}

impl Given {
    /// Directory and last component as they are spelled; none if the last is no name.
    fn parts(&self) -> Option<(&[u8], &[u8])> {
        let path = trimmed(&self.path);
        let name = last(path);
        let named = !matches!(name, b"" | b"." | b"..");
        named.then(|| (&path[..path.len() - name.len()], name))
    }

    /// The two are spelled as names of the same directory, so that no border lies between them, and neither is that of a
    /// mount point. Most are; they need not be walked.
    fn is_harmless_with(&self, other: &Self, names: &HashSet<Vec<u8>>) -> bool {
        let (Some((here, from)), Some((there, to))) = (self.parts(), other.parts()) else {
            return false;
        };
        self.place.directory == other.place.directory
            && here == there
            && !names.contains(from)
            && !names.contains(to)
    }
}

impl GuardedNames {
    /// What thread `tid` is about to be refused because of a guard, if it is.
    ///
    /// # Errors
    /// Its memory can't be read.
    pub(in crate::inside) fn refused(
        &self,
        tid: u32,
        call: &Name,
    ) -> Result<Option<Refusal>, MemoryError> {
        let mut memory = Memory::open(tid)?;
        let mut read = |place: Place| {
            let path = memory.string(place.path, MAX_PATH_BYTES)?;
            Ok(path.map(|path| Given { place, path }))
        };
        let (first, second) = match *call {
            Name::Remove { at, .. } => (read(at)?, None),
            Name::Rename { from, to, .. } | Name::Link { from, to, .. } => (read(from)?, read(to)?),
        };
        // A longer one is refused as such.
        let Some(first) = first else { return Ok(None) };
        let may_look = |at: &Spot| !self.denies_look(at);
        let walk = || Walk::of(tid, &may_look);
        Ok(match (*call, second) {
            (Name::Remove { operation, .. }, _) => self.removal(&walk, operation, &first),
            (Name::Rename { replace, .. }, Some(second)) => {
                self.renaming(&walk, &first, &second, replace)
            }
            (Name::Link { follow, empty, .. }, Some(second)) => {
                self.linking(&walk, &first, &second, follow, empty)
            }
            (Name::Rename { .. } | Name::Link { .. }, None) => None,
        })
    }

    fn removal<'a>(
        &self,
        walk: &dyn Fn() -> Option<Walk<'a>>,
        operation: Operation,
        given: &Given,
    ) -> Option<Refusal> {
        let name = last(&given.path);
        if !matches!(name, b"." | b"..") && !self.names.contains(name) {
            return None;
        }
        let directory = operation == Operation::Rmdir;
        let walk = walk()?;
        let Parent { at, last } = walk.parent(given.place.directory, &given.path)?;
        let errno = match &last {
            Last::Dot if directory => Errno::EINVAL,
            Last::DotDot(_) if directory => Errno::ENOTEMPTY,
            Last::Dot | Last::DotDot(_) => Errno::EISDIR,
            Last::Name { name, slash } => {
                let found = self.mounted(&walk, &at, name)?;
                match (directory, found.is_directory()) {
                    (false, true) => Errno::EISDIR,
                    (true, false) => Errno::ENOTDIR,
                    (false, false) if *slash => Errno::ENOTDIR,
                    (false, false) | (true, true) => Errno::EBUSY,
                }
            }
        };
        self.refusal(operation, self.named(&at, &last), None, errno)
    }

    fn renaming<'a>(
        &self,
        walk: &dyn Fn() -> Option<Walk<'a>>,
        from: &Given,
        to: &Given,
        replace: Replace,
    ) -> Option<Refusal> {
        if from.is_harmless_with(to, &self.names) {
            return None;
        }
        let walk = walk()?;
        let old = walk.parent(from.place.directory, &from.path)?;
        let new = walk.parent(to.place.directory, &to.path)?;
        let errno = if old.at.mount == new.at.mount {
            self.renaming_on_a_mount(&walk, &old, &new, replace)?
        } else {
            Errno::EXDEV
        };
        let (old, new) = (self.named(&old.at, &old.last), self.named(&new.at, &new.last));
        self.refusal(Operation::Rename, old, Some(new), errno)
    }

    fn renaming_on_a_mount(
        &self,
        walk: &Walk<'_>,
        old: &Parent,
        new: &Parent,
        replace: Replace,
    ) -> Option<Errno> {
        let (
            Last::Name { name: old_name, slash: old_slash },
            Last::Name { name: new_name, slash: new_slash },
        ) = (&old.last, &new.last)
        else {
            let named = matches!(old.last, Last::Name { .. });
            return Some(match replace {
                Replace::Never if named => Errno::EEXIST,
                Replace::Never | Replace::May | Replace::Exchange => Errno::EBUSY,
            });
        };
        if self.mounted(walk, &old.at, old_name).is_none()
            && self.mounted(walk, &new.at, new_name).is_none()
        {
            return None;
        }
        // What the kernel says first if there were no guard is not the guard's refusal.
        let moved = walk.look(&old.at, old_name)?;
        let there = walk.look(&new.at, new_name);
        match (replace, &there) {
            (Replace::Never, Some(_)) | (Replace::Exchange, None) => return None,
            (Replace::Never | Replace::May, None) | (Replace::May | Replace::Exchange, Some(_)) => {
            }
        }
        let exchange = replace == Replace::Exchange;
        if !moved.is_directory() && (*old_slash || (*new_slash && !exchange)) {
            return Some(Errno::ENOTDIR);
        }
        Some(match there.filter(|_| !exchange) {
            Some(there) if moved.is_directory() && !there.is_directory() => Errno::ENOTDIR,
            Some(there) if !moved.is_directory() && there.is_directory() => Errno::EISDIR,
            Some(_) | None => Errno::EBUSY,
        })
    }

    fn linking<'a>(
        &self,
        walk: &dyn Fn() -> Option<Walk<'a>>,
        from: &Given,
        to: &Given,
        follow: bool,
        empty: bool,
    ) -> Option<Refusal> {
        // With a slash after it, a link is followed.
        if !follow && !from.path.ends_with(b"/") && from.is_harmless_with(to, &self.names) {
            return None;
        }
        let walk = walk()?;
        let linked = match from.place.directory {
            Some(fd) if empty && from.path.is_empty() => walk.descriptor(fd)?,
            Some(_) | None => walk.object(from.place.directory, &from.path, follow)?,
        };
        let new = walk.parent(to.place.directory, &to.path)?;
        let Last::Name { name, slash } = &new.last else { return None };
        // Another answer comes first, or the guard sees the new name and answers itself.
        if linked.mount == new.at.mount
            || *slash
            || self.denies_look(&new.at)
            || walk.look(&new.at, name).is_some()
        {
            return None;
        }
        let old = self.path(&linked, None).map(|path| (linked.mount, path));
        let new = self.named(&new.at, &new.last);
        self.refusal(Operation::Link, old, Some(new), Errno::EXDEV)
    }

    /// What is mounted at a name, if that is a guarded mount point.
    fn mounted(&self, walk: &Walk<'_>, at: &Spot, name: &[u8]) -> Option<Spot> {
        // No guard lies below another.
        if self.is_guard_point(at.mount) || !self.names.contains(name) {
            return None;
        }
        let found = walk.look(at, name)?;
        (found.mount != at.mount && self.is_guard_point(found.mount)).then_some(found)
    }

    /// The path of what a call names, and its mount; none outside of the workspace.
    fn named(&self, at: &Spot, last: &Last) -> Option<(u64, WorkspacePath)> {
        Some(match last {
            // The mount is that of the directory, as the kernel compares it.
            Last::Name { name, .. } => (at.mount, self.path(at, Some(name))?),
            Last::Dot => (at.mount, self.path(at, None)?),
            Last::DotDot(above) => (above.mount, self.path(above, None)?),
        })
    }

    /// The refusal of what has these names, if a rule guards one of them.
    fn refusal(
        &self,
        operation: Operation,
        first: Option<(u64, WorkspacePath)>,
        second: Option<Option<(u64, WorkspacePath)>>,
        errno: Errno,
    ) -> Option<Refusal> {
        let rule = [first.as_ref(), second.as_ref().and_then(Option::as_ref)]
            .into_iter()
            .flatten()
            .find_map(|(mount, path)| self.rule(*mount, path))?;
        let mut paths = [first, second.flatten()].into_iter().flatten().map(|(_, path)| path);
        let denied = FileDenied {
            path: paths.next()?,
            operation,
            target: paths.next(),
            object: None,
            rule,
            errno: format!("{errno:?}"),
            count: 1,
        };
        Some(Refusal { denied, errno })
    }
}
