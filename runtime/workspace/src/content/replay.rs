//! What a record tells, read back: after a crash of the keeper the workspace is compared with that.

use custody_record::Body;
use custody_record::event::{FileKind, FileRenamed, FileWritten};

use super::{Contents, Entry, Version};

impl Contents {
    /// Takes one event of a record into account; events that do not change files are passed over.
    ///
    /// Start from a fresh [`Contents::new`] of the same base and apply the record from its beginning.
    pub fn replay(&self, body: &Body) {
        match body {
            Body::FileWritten(written) => self.replay_written(written),
            // An exchange is told from both sides.
            Body::FileRenamed(renamed) if renamed.exchanged => self.replay_exchanged(renamed),
            Body::FileRenamed(renamed) => {
                self.renamed(&renamed.from, &renamed.to, renamed.kind == FileKind::Directory);
            }
            Body::FileRemoved(removed) => {
                self.removed(&removed.path, removed.kind == FileKind::Directory);
            }
            Body::FileLinked(linked) => self.linked(&linked.path, linked.target.as_ref(), None),
            Body::FileSymlinked(symlinked) => {
                // A replaced byte says that the target is not what the record says.
                let exact = !symlinked.target.contains(char::REPLACEMENT_CHARACTER);
                self.symlinked(&symlinked.path, exact.then_some(symlinked.target.as_bytes()));
            }
            Body::SessionAuthorized(_)
            | Body::SessionProvisioned(_)
            | Body::SessionStarted(_)
            | Body::SessionPaused(_)
            | Body::SessionResumed(_)
            | Body::SessionClosed(_)
            | Body::PolicyDecided(_)
            | Body::PolicyViolated(_)
            | Body::ProcessExecuted(_)
            | Body::ProcessExited(_)
            | Body::FileOpened(_)
            | Body::FileReopened(_)
            | Body::AttributesChanged(_)
            | Body::FileDenied(_)
            | Body::FileOutside(_)
            | Body::EgressDenied(_)
            | Body::TerminalRecorded(_)
            | Body::WorkspaceCompared(_)
            | Body::RedactionApplied(_)
            | Body::CommitCreated(_)
            | Body::RecorderGap(_)
            | Body::RecorderDegraded(_)
            | Body::RecorderRestored(_) => {}
        }
    }

    /// Of the two events that tell an exchange, the first (`from` sorts before `to`) does it.
    fn replay_exchanged(&self, renamed: &FileRenamed) {
        let (from, to, kind) = (&renamed.from, &renamed.to, renamed.kind);
        if from < to {
            let other = self.kind(to).unwrap_or(FileKind::File);
            self.exchanged((from, kind), (to, other));
        } else if kind == FileKind::Directory {
            self.put(to, Entry::Directory);
        }
    }

    fn replay_written(&self, written: &FileWritten) {
        let entry = match written.kind {
            FileKind::File => Entry::Written(Version { read: written.after.clone(), stamp: None }),
            FileKind::Directory => Entry::Directory,
            FileKind::Symlink => Entry::Symlink(None),
            FileKind::Other => Entry::Other,
        };
        self.put(&written.path, entry);
    }
}
