//! Hard links: which paths are names of one file, so that a version written by one name is known by all.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::BorrowedFd;

use custody_model::WorkspacePath;

use super::versions::rebased;
use super::{Contents, Entry, Written, same_content};

/// Names of files that have at least two. A file may have tens of thousands: to add or remove one costs no look at the
/// others.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Which group a path is in.
    group_of: HashMap<WorkspacePath, u64>,
    /// The names of one file.
    groups: HashMap<u64, BTreeSet<WorkspacePath>>,
    next: u64,
}

impl Contents {
    /// As [`Contents::written_through`] for a file with several names: hashed once, and told for each of them in
    /// the order of `names`.
    pub fn written_under(
        &self,
        names: &[WorkspacePath],
        file: BorrowedFd<'_>,
        limit: u64,
    ) -> Vec<Written> {
        // Taken first: the version of one name is set for all names that are known to be of one file.
        let before: Vec<_> = names.iter().map(|name| self.known(name)).collect();
        let Some(version) = self.hash(file, limit) else {
            return names.iter().map(|name| self.written_and_gone(name)).collect();
        };
        for name in names {
            self.put(name, Entry::written(version.clone()));
        }
        let after = version.read;
        let told = |before: Option<_>| {
            let same = before.as_ref().is_some_and(|b| same_content(b, &after));
            let changed = after.digest.is_none() || !same;
            Written { before, after: after.clone(), changed }
        };
        before.into_iter().map(told).collect()
    }
}

impl Links {
    /// `a` and `b` are names of one file.
    pub(super) fn join(&mut self, a: &WorkspacePath, b: &WorkspacePath) {
        self.leave(a);
        let group = match self.group_of.get(b) {
            Some(group) => *group,
            None => {
                self.next += 1;
                self.add(b.clone(), self.next);
                self.next
            }
        };
        self.add(a.clone(), group);
    }

    /// The other names of a file.
    pub(super) fn others(&self, path: &WorkspacePath) -> Vec<WorkspacePath> {
        let group = self.group_of.get(path).and_then(|group| self.groups.get(group));
        group.into_iter().flatten().filter(|p| *p != path).cloned().collect()
    }

    /// The path names something else now, or nothing.
    pub(super) fn leave(&mut self, path: &WorkspacePath) {
        let Some(group) = self.group_of.remove(path) else { return };
        let Some(names) = self.groups.get_mut(&group) else { return };
        names.remove(path);
        if names.len() < 2 {
            for last in self.groups.remove(&group).into_iter().flatten() {
                self.group_of.remove(&last);
            }
        }
    }

    /// A file, or a directory with all below it, was renamed.
    pub(super) fn renamed(&mut self, from: &WorkspacePath, to: &WorkspacePath) {
        self.leave(to);
        self.rename(|path| if path.starts_with(from) { rebased(path, from, to) } else { None });
    }

    /// Two paths changed places, with all below them.
    pub(super) fn exchanged(&mut self, a: &WorkspacePath, b: &WorkspacePath) {
        self.rename(|path| {
            if path.starts_with(a) {
                rebased(path, a, b)
            } else if path.starts_with(b) {
                rebased(path, b, a)
            } else {
                None
            }
        });
    }

    fn add(&mut self, path: WorkspacePath, group: u64) {
        self.groups.entry(group).or_default().insert(path.clone());
        self.group_of.insert(path, group);
    }

    /// Gives each path for which there is one its new name.
    fn rename(&mut self, new_name: impl Fn(&WorkspacePath) -> Option<WorkspacePath>) {
        let moved: Vec<_> = self
            .group_of
            .iter()
            .filter_map(|(path, group)| Some((path.clone(), new_name(path)?, *group)))
            .collect();
        for (path, _, group) in &moved {
            self.group_of.remove(path);
            if let Some(names) = self.groups.get_mut(group) {
                names.remove(path);
            }
        }
        for (_, path, group) in moved {
            self.add(path, group);
        }
    }
}
