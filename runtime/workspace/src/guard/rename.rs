//! Renames: nothing guarded moves, nothing moves to where a rule guards, and no directory that has
//! or would have something guarded below it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{FileKind, FileRenamed, Operation};
use fuser::RenameFlags;
use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat2};
use nix::sys::stat::FileStat;

use super::backing::{Key, Result, file_type, open_at, recorded_kind, stat_at};
use super::caller::Caller;
use super::entries::{absent, empty};
use super::rules::{Guarded, Wall, guard_of};
use super::server::Server;

/// What is renamed from where to where.
pub(super) struct Rename<'a> {
    pub(super) from: (u64, &'a OsStr),
    pub(super) to: (u64, &'a OsStr),
    pub(super) flags: RenameFlags,
}

impl Server {
    /// Renames, or exchanges two names.
    pub(super) fn rename(&self, caller: Caller, rename: &Rename<'_>) -> Result<()> {
        let known = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE;
        if !known.contains(rename.flags) {
            return Err(Errno::EINVAL);
        }
        let exchange = rename.flags.contains(RenameFlags::RENAME_EXCHANGE);
        let (from_parent, to_parent) =
            (self.table.get(rename.from.0)?, self.table.get(rename.to.0)?);
        let (from_name, to_name) = (rename.from.1, rename.to.1);
        let (from, to) = (from_parent.child(from_name)?, to_parent.child(to_name)?);

        let _names = self.moving_names();
        let from_dir = self.table.directory(&from_parent)?;
        let to_dir = self.table.directory(&to_parent)?;
        let moved = stat_at(from_dir.as_fd(), from_name)?;
        if rename.flags.contains(RenameFlags::RENAME_NOREPLACE) {
            absent(to_dir.as_fd(), to_name)?;
        }
        let replaced = match stat_at(to_dir.as_fd(), to_name) {
            Ok(stat) => Some(stat),
            Err(Errno::ENOENT) if !exchange => None,
            Err(errno) => return Err(errno),
        };
        self.check_move(caller, (from_dir.as_fd(), from_name), &moved, &from, &to)?;
        if let Some(stat) = replaced.filter(|_| exchange) {
            self.check_move(caller, (to_dir.as_fd(), to_name), &stat, &to, &from)?;
        }
        let same = replaced.is_some_and(|stat| Key::from(&stat) == Key::from(&moved));
        if same && !exchange {
            // Two names of one file: POSIX says that nothing happens.
            return Ok(());
        }
        let is_directory =
            |stat: &FileStat| recorded_kind(file_type(stat.st_mode)) == FileKind::Directory;
        if let Some(stat) = replaced.filter(|_| !exchange) {
            match (is_directory(&moved), is_directory(&stat)) {
                (true, true) => empty(to_dir.as_fd(), to_name)?,
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (false, false) => {}
            }
        }
        let lost = match (&replaced, exchange) {
            (Some(stat), false) => self
                .table
                .find(Key::from(stat))
                .map(|node| Ok((node, open_at(to_dir.as_fd(), to_name, OFlag::O_PATH)?)))
                .transpose()?,
            (Some(_) | None, true) | (None, false) => None,
        };

        self.record_rename(caller, &from, &to, &moved, replaced.as_ref(), exchange)?;
        let flags = nix::fcntl::RenameFlags::from_bits_truncate(rename.flags.bits());
        renameat2(&*from_dir, from_name, &*to_dir, to_name, flags)
            .map_err(|errno| self.not_renamed(caller, &from, &to, &moved, errno))?;

        if exchange {
            let kind = |stat: &FileStat| recorded_kind(file_type(stat.st_mode));
            let other = replaced.as_ref().map_or(FileKind::Other, kind);
            self.contents.exchanged((&from, kind(&moved)), (&to, other));
        } else {
            self.contents.renamed(&from, &to, is_directory(&moved));
        }
        if let Some((node, descriptor)) = lost {
            node.lost(to_parent.id, to_name, &to, descriptor);
        }
        if let Some(node) = self.table.find(Key::from(&moved)) {
            node.moved((from_parent.id, from_name), &to_parent, to_name);
        }
        if let Some(node) =
            replaced.filter(|_| exchange).and_then(|s| self.table.find(Key::from(&s)))
        {
            node.moved((to_parent.id, to_name), &from_parent, from_name);
        }
        Ok(())
    }

    fn record_rename(
        &self,
        caller: Caller,
        from: &WorkspacePath,
        to: &WorkspacePath,
        moved: &FileStat,
        replaced: Option<&FileStat>,
        exchange: bool,
    ) -> Result<()> {
        let kind = |stat: &FileStat| recorded_kind(file_type(stat.st_mode));
        let event = |from: &WorkspacePath, to: &WorkspacePath, stat, replaced| {
            let (from, to) = (from.clone(), to.clone());
            Body::FileRenamed(FileRenamed {
                from,
                to,
                kind: kind(stat),
                replaced,
                uncertain: None,
                exchanged: exchange,
            })
        };
        let lost = replaced
            .filter(|stat| !exchange && kind(stat) == FileKind::File)
            .map(|_| self.contents.known(to).unwrap_or_default());
        match replaced.filter(|_| exchange) {
            // The one whose old path sorts first is told first.
            Some(stat) if from < to => {
                self.record(caller.pid, event(from, to, moved, None))?;
                self.record(caller.pid, event(to, from, stat, None))
            }
            Some(stat) => {
                self.record(caller.pid, event(to, from, stat, None))?;
                self.record(caller.pid, event(from, to, moved, None))
            }
            None => self.record(caller.pid, event(from, to, moved, lost)),
        }
    }

    fn not_renamed(
        &self,
        caller: Caller,
        from: &WorkspacePath,
        to: &WorkspacePath,
        moved: &FileStat,
        errno: Errno,
    ) -> Errno {
        let kind = recorded_kind(file_type(moved.st_mode));
        let (from, to) = (to.clone(), from.clone());
        let back =
            FileRenamed { from, to, kind, replaced: None, uncertain: None, exchanged: false };
        self.take_back(caller, Body::FileRenamed(back), errno)
    }

    /// Refuses a move of something guarded, to something guarded, or of a directory for which
    /// either is true of anything below it.
    fn check_move(
        &self,
        caller: Caller,
        (directory, name): (BorrowedFd<'_>, &OsStr),
        stat: &FileStat,
        from: &WorkspacePath,
        to: &WorkspacePath,
    ) -> Result<()> {
        let refused = |guard: &Guarded| {
            self.refuse(caller, Operation::Rename, from.clone(), Some(to.clone()), guard)
        };
        let guard = self
            .guard_found(from, stat)
            .or_else(|| self.table.find(Key::from(stat)).and_then(|node| node.guard()))
            .or_else(|| guard_of(&self.rules, to));
        if let Some(guard) = guard {
            return Err(refused(&guard));
        }
        if recorded_kind(file_type(stat.st_mode)) != FileKind::Directory {
            return Ok(());
        }
        if !self.rules.could_match_below(from) && !self.rules.could_match_below(to) {
            return Ok(());
        }
        match self.guarded_below(directory, name, from, to)? {
            Some(guard) => Err(refused(&guard)),
            None => Ok(()),
        }
    }

    /// The rule that guards anything below the directory, as it is called or as it would be called.
    fn guarded_below(
        &self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        from: &WorkspacePath,
        to: &WorkspacePath,
    ) -> Result<Option<Arc<Guarded>>> {
        let mut seen = 0;
        let mut pending = vec![(name.to_owned(), from.clone(), to.clone())];
        while let Some((inside, from, to)) = pending.pop() {
            let opened = open_at(directory, &inside, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            for entry in &mut Dir::from_fd(opened)?.iter() {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                seen += 1;
                if seen > self.max_rename_entries {
                    return Ok(Some(Arc::new(self.too_many_entries())));
                }
                let longer =
                    |path: &WorkspacePath| path.join(name).map_err(|_| Errno::ENAMETOOLONG);
                let (from, to) = (longer(&from)?, longer(&to)?);
                let guard = guard_of(&self.rules, &from).or_else(|| guard_of(&self.rules, &to));
                if guard.is_some() {
                    return Ok(guard);
                }
                let below =
                    self.rules.could_match_below(&from) || self.rules.could_match_below(&to);
                if below && entry.file_type() == Some(Type::Directory) {
                    let mut path = inside.clone();
                    path.push("/");
                    path.push(OsStr::from_bytes(name));
                    pending.push((path, from, to));
                }
            }
        }
        Ok(None)
    }

    fn too_many_entries(&self) -> Guarded {
        let rule = format!("limit: {} entries below a renamed directory", self.max_rename_entries);
        Guarded { wall: Wall::Deny, rule: rule.into() }
    }
}
