//! Renames of files and of whole directories, and exchanges.

use std::os::fd::AsFd;

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{FileKind, FileRenamed};

use super::batch::{Batch, Reverse};
use super::engine::{Engine, owned, pid_of};
use super::group::stat;
use super::moves::Spot;
use super::notice::Notice;
use crate::content::{path_beneath, rebased};

/// How often the queue is looked at for the other half of an exchange: the kernel is about to queue it.
const MAX_LOOKS: u32 = 1_000;

impl Engine {
    pub(super) fn rename(&mut self, batch: &mut Batch, at: usize, notice: Notice) {
        let (Some(from), Some(to)) = (notice.place, notice.to) else {
            self.lose();
            return;
        };
        let (old, new) = (self.path(batch, at, from), self.path(batch, at, to));
        let (Some(old), Some(new)) = (old, new) else {
            self.lose();
            return;
        };
        let (from, to) = (batch.spot(from), batch.spot(to));
        let pid = pid_of(notice);
        let object = owned(batch, notice.object).unwrap_or_default();
        let directory = notice.mask & libc::FAN_ONDIR != 0;
        if !self.comes_from(batch, pid, &object, (&from, &to)) {
            // It is known to have arrived.
            let kind = self.contents.kind(&new).unwrap_or(FileKind::File);
            self.tell_renamed(pid, (&old, &new), kind, false);
            return;
        }
        match self.reverse(batch, at, &old) {
            Reverse::Of(other) => {
                let other_directory = other.as_deref().is_some_and(|o| self.is_directory(o));
                self.exchange(pid, (&old, directory), (&new, other_directory));
                self.put_directory(&object, &to);
                batch.moves.departed(&object, from.clone());
                batch.moves.arrived(&object, to.clone());
                if let Some(other) = other {
                    self.put_directory(&other, &from);
                    batch.moves.departed(&other, to);
                    batch.moves.arrived(&other, from);
                }
            }
            Reverse::No => {
                self.vacate(batch, notice);
                self.move_known(pid, &object, &old, &new, directory);
                if directory && let Some(parent) = self.directories.id(&to.directory) {
                    self.directories.stands(&object, parent, &to.name);
                }
                batch.moves.departed(&object, from);
                batch.moves.arrived(&object, to);
            }
        }
    }

    /// Sees to it that the object is where a rename takes it from. `false` if it is known to be where the rename brings it.
    fn comes_from(
        &mut self,
        batch: &mut Batch,
        pid: u32,
        object: &[u8],
        (from, to): (&Spot, &Spot),
    ) -> bool {
        let directory = self.directories.id(object).and_then(|id| self.directories.place(id));
        let known = match directory {
            Some((directory, name)) => {
                Some(Spot { directory: directory.into(), name: name.into() })
            }
            None if batch.moves.has_left(object, from) => match batch.moves.whereabouts(object) {
                Some(spot) => Some(spot),
                None => {
                    self.came_back(batch, pid, object, from);
                    None
                }
            },
            None => None,
        };
        match known {
            Some(known) if known == *from => {}
            Some(known) if known == *to => return false,
            Some(known) => {
                // What is thought to stand there has left; if nothing tells where to, they changed places.
                let occupant = batch.moves.occupant(from, object);
                let occupant = occupant.filter(|other| self.is_named(other));
                self.infer(batch, pid, object, &known, from, occupant.as_deref());
            }
            None => {}
        }
        true
    }

    /// Moves what is remembered by its path, and tells the rename.
    pub(super) fn move_known(
        &mut self,
        pid: u32,
        object: &[u8],
        from: &WorkspacePath,
        to: &WorkspacePath,
        directory: bool,
    ) {
        if directory {
            self.moved(|path| {
                if path.starts_with(from)
                    && let Some(there) = rebased(path, from, to)
                {
                    *path = there;
                }
            });
        } else {
            self.moved_file(object, from, to);
        }
        let renamed = self.contents.renamed(from, to, directory);
        let told = FileRenamed {
            from: from.clone(),
            to: to.clone(),
            kind: renamed.kind,
            replaced: renamed.replaced,
            exchanged: false,
            uncertain: None,
        };
        self.emit(pid, Body::FileRenamed(told));
        let what = format!("{from} was renamed to it");
        self.check_below(pid, to, directory, &what);
    }

    fn tell_renamed(
        &mut self,
        pid: u32,
        (from, to): (&WorkspacePath, &WorkspacePath),
        kind: FileKind,
        exchanged: bool,
    ) {
        let (from, to) = (from.clone(), to.clone());
        let told = FileRenamed { from, to, kind, replaced: None, exchanged, uncertain: None };
        self.emit(pid, Body::FileRenamed(told));
    }

    fn check_below(&mut self, pid: u32, path: &WorkspacePath, directory: bool, what: &str) {
        self.check(pid, path, what);
        if directory && self.has_guards() {
            for below in self.contents.below(path) {
                self.check(pid, &below, what);
            }
        }
    }

    /// `a` and `b` change places; beside each whether it is a directory.
    pub(super) fn exchange(
        &mut self,
        pid: u32,
        (a, a_directory): (&WorkspacePath, bool),
        (b, b_directory): (&WorkspacePath, bool),
    ) {
        let kind = |path, directory| match directory {
            true => FileKind::Directory,
            false => self.contents.kind(path).unwrap_or(FileKind::File),
        };
        let kinds = (kind(a, a_directory), kind(b, b_directory));
        self.moved(|path| {
            let there = if path.starts_with(a) {
                rebased(path, a, b)
            } else if path.starts_with(b) {
                rebased(path, b, a)
            } else {
                None
            };
            if let Some(there) = there {
                *path = there;
            }
        });
        self.contents.exchanged((a, kinds.0), (b, kinds.1));
        let mut told = [(a, b, kinds.0), (b, a, kinds.1)];
        // The one whose old path sorts first is told first.
        told.sort_by_key(|(from, _, _)| *from);
        for (from, to, kind) in told {
            self.tell_renamed(pid, (from, to), kind, true);
        }
        for path in [a, b] {
            self.check_below(pid, path, true, "it changed places with another path");
        }
    }

    /// Whether the rename is half of an exchange: its other half comes after it, or merged with an older event.
    fn reverse(&mut self, batch: &mut Batch, at: usize, from: &WorkspacePath) -> Reverse {
        let mut looks = 0;
        let found = loop {
            if let Some(found) = batch.take_reverse(at) {
                break found;
            }
            // After a plain rename nothing stands there, unless somebody made it anew, which is told.
            if looks >= MAX_LOOKS || path_beneath(self.root(), from).is_err() {
                break Reverse::No;
            }
            looks += 1;
            self.pull(batch);
        };
        if found == Reverse::No
            && let Some(other) = batch.merged_reverse(at)
            && let Some(file) = self.open(&other)
            // What a plain rename puts something in the place of has no name any more.
            && stat(file.as_fd()).is_some_and(|stat| {
                let directory = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
                stat.st_nlink > 0 && (directory || stat.st_nlink == 1)
            })
        {
            return Reverse::Of(Some(other));
        }
        found
    }
}
