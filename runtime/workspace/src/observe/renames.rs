//! Renames of files and of whole directories, and exchanges.

use custody_model::WorkspacePath;
use custody_record::Body;
use custody_record::event::{FileKind, FileRenamed};

use super::batch::Batch;
use super::engine::{Engine, pid_of};
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
        let (Some(from), Some(to)) = (self.path(batch, from), self.path(batch, to)) else {
            self.lose();
            return;
        };
        let pid = pid_of(notice);
        if self.is_exchange(batch, at, &from) {
            self.exchange(pid, &from, &to);
            return;
        }
        let directory = notice.mask & libc::FAN_ONDIR != 0;
        if directory {
            self.directories.renamed(&from, &to);
            if let Some(object) = notice.object {
                self.directories.made(batch.bytes(object), to.clone());
            }
            let moved = |path: &mut WorkspacePath| {
                if path.starts_with(&from)
                    && let Some(there) = rebased(path, &from, &to)
                {
                    *path = there;
                }
            };
            self.moved(moved);
        } else if let Some(object) = notice.object {
            let object = batch.bytes(object);
            if let Some(name) = self.names.get_mut(object) {
                *name = to.clone();
            }
            if let Some(unclosed) = self.unclosed.get_mut(object) {
                unclosed.path = to.clone();
            }
            if let Some(suspect) = self.suspects.get_mut(object) {
                suspect.path = to.clone();
            }
        }
        let renamed = self.contents.renamed(&from, &to, directory);
        self.emit(
            pid,
            Body::FileRenamed(FileRenamed {
                from: from.clone(),
                to: to.clone(),
                kind: renamed.kind,
                replaced: renamed.replaced,
            }),
        );
        let what = format!("{from} was renamed to it");
        self.check_below(pid, &to, directory, &what);
    }

    fn check_below(&mut self, pid: u32, path: &WorkspacePath, directory: bool, what: &str) {
        self.check(pid, path, what);
        if directory && self.has_guards() {
            for below in self.contents.below(path) {
                self.check(pid, &below, what);
            }
        }
    }

    fn exchange(&mut self, pid: u32, a: &WorkspacePath, b: &WorkspacePath) {
        let kind = |path| self.contents.kind(path).unwrap_or(FileKind::File);
        let kinds = (kind(a), kind(b));
        let moved = |path: &mut WorkspacePath| {
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
        };
        self.moved(moved);
        self.directories.exchanged(a, b);
        self.contents.exchanged(a, b);
        for (from, to, kind) in [(a, b, kinds.0), (b, a, kinds.1)] {
            let (from, to) = (from.clone(), to.clone());
            self.emit(pid, Body::FileRenamed(FileRenamed { from, to, kind, replaced: None }));
        }
        for path in [a, b] {
            self.check_below(pid, path, true, "it changed places with another path");
        }
    }

    fn is_exchange(&mut self, batch: &mut Batch, at: usize, from: &WorkspacePath) -> bool {
        let mut looks = 0;
        loop {
            if let Ok(reverse) = batch.take_reverse(at) {
                return reverse;
            }
            // After a plain rename nothing stands there, unless somebody made it anew.
            if looks >= MAX_LOOKS || path_beneath(self.root(), from).is_err() {
                return false;
            }
            looks += 1;
            self.pull(batch);
        }
    }
}
