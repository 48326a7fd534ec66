//! Hard links: which paths are names of one file, so that a version written by one name is known by all.

use std::os::fd::BorrowedFd;

use custody_model::WorkspacePath;

use super::versions::rebased;
use super::{Contents, Entry, Written, same_content};

/// Groups of at least two names of one file.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Vec<WorkspacePath>>);

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
        match self.0.iter_mut().find(|group| group.contains(b)) {
            Some(group) => group.push(a.clone()),
            None => self.0.push(vec![a.clone(), b.clone()]),
        }
    }

    /// The other names of a file.
    pub(super) fn others(&self, path: &WorkspacePath) -> Vec<WorkspacePath> {
        let group = self.0.iter().find(|group| group.contains(path));
        group.into_iter().flatten().filter(|p| *p != path).cloned().collect()
    }

    /// The path names something else now, or nothing.
    pub(super) fn leave(&mut self, path: &WorkspacePath) {
        for group in &mut self.0 {
            group.retain(|p| p != path);
        }
        self.0.retain(|group| group.len() > 1);
    }

    /// A file, or a directory with all below it, was renamed.
    pub(super) fn renamed(&mut self, from: &WorkspacePath, to: &WorkspacePath) {
        self.leave(to);
        for path in self.0.iter_mut().flatten().filter(|p| p.starts_with(from)) {
            if let Some(moved) = rebased(path, from, to) {
                *path = moved;
            }
        }
    }

    /// Two paths changed places, with all below them.
    pub(super) fn exchanged(&mut self, a: &WorkspacePath, b: &WorkspacePath) {
        for path in self.0.iter_mut().flatten() {
            let moved = if path.starts_with(a) {
                rebased(path, a, b)
            } else if path.starts_with(b) {
                rebased(path, b, a)
            } else {
                None
            };
            if let Some(moved) = moved {
                *path = moved;
            }
        }
    }
}
