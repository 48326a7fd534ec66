//! What an event says that was done in a session: the one reading of events that the index, the summary and the exports share.
//!
//! A file is *read* when its content was opened, to read it or to run it; opening it for writing reads nothing. It is *written*
//! when a version or a name of it came to be, and *removed* when a name of it went. Directories are neither, but for a renamed
//! one, which stands for everything in it. What happens in the repository's own `.git` is git's, and no deed; a directory
//! `.git` elsewhere is a directory like any other.

use custody_model::WorkspacePath;

use super::{
    Access, Body, EgressDenied, FileDenied, FileKind, FileRead, Gap, PolicyViolated,
    ProcessExecuted,
};

/// Git's own directory, at the root of a workspace.
const GIT: &[u8] = b".git";

/// One thing that was done, or refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed<'a> {
    /// A file's content was opened.
    Read {
        /// The file that was opened.
        path: &'a WorkspacePath,
        /// The content.
        content: &'a FileRead,
    },
    /// It was opened again, by the same process.
    ReadAgain {
        /// The file that was opened again.
        path: &'a WorkspacePath,
        /// How many more times.
        count: u64,
    },
    /// A file was created, written, truncated, linked, or renamed to this.
    Wrote {
        /// The file that was written.
        path: &'a WorkspacePath,
        /// Its content, where the event tells it.
        content: Option<&'a FileRead>,
    },
    /// A file was removed or renamed away.
    Removed {
        /// The file that is gone.
        path: &'a WorkspacePath,
    },
    /// An access to a file was refused.
    Refused(&'a FileDenied),
    /// A program ran.
    Ran(&'a ProcessExecuted),
    /// Another file ran than was announced by an earlier [`Deed::Ran`], in place of it: no program more.
    RanInstead(&'a ProcessExecuted),
    /// An attempt to reach something outside was refused.
    EgressRefused(&'a EgressDenied),
    /// Something that a rule forbids came into being.
    Violated(&'a PolicyViolated),
    /// Something could not be recorded.
    Missed(&'a Gap),
}

impl<'a> Deed<'a> {
    /// What an event says that was done: at most two things, in their order.
    pub fn of(body: &'a Body) -> impl Iterator<Item = Self> {
        let deeds = match body {
            Body::FileOpened(opened) => {
                let content = opened.kind == FileKind::File && reads(opened.access);
                let read = Self::Read { path: &opened.path, content: &opened.content };
                [content.then_some(read), None]
            }
            Body::FileReopened(again) => {
                let read = Self::ReadAgain { path: &again.path, count: again.count };
                [reads(again.access).then_some(read), None]
            }
            Body::FileWritten(written) => {
                let wrote = Self::Wrote { path: &written.path, content: Some(&written.after) };
                [(written.kind != FileKind::Directory).then_some(wrote), None]
            }
            Body::FileRenamed(renamed) => [
                Some(Self::Removed { path: &renamed.from }),
                Some(Self::Wrote { path: &renamed.to, content: None }),
            ],
            Body::FileRemoved(removed) => {
                let gone = Self::Removed { path: &removed.path };
                [(removed.kind != FileKind::Directory).then_some(gone), None]
            }
            Body::FileLinked(linked) => {
                [Some(Self::Wrote { path: &linked.path, content: None }), None]
            }
            Body::FileSymlinked(linked) => {
                [Some(Self::Wrote { path: &linked.path, content: None }), None]
            }
            Body::FileDenied(denied) => [Some(Self::Refused(denied)), None],
            Body::ProcessExecuted(executed) => [
                match (&executed.failed, executed.corrects) {
                    (Some(_), _) => None,
                    (None, Some(_)) => Some(Self::RanInstead(executed)),
                    (None, None) => Some(Self::Ran(executed)),
                },
                None,
            ],
            Body::EgressDenied(denied) => [Some(Self::EgressRefused(denied)), None],
            Body::PolicyViolated(violated) => [Some(Self::Violated(violated)), None],
            Body::RecorderGap(gap) => [Some(Self::Missed(gap)), None],
            Body::SessionAuthorized(_)
            | Body::SessionProvisioned(_)
            | Body::SessionStarted(_)
            | Body::SessionPaused(_)
            | Body::SessionResumed(_)
            | Body::SessionClosed(_)
            | Body::PolicyDecided(_)
            | Body::ProcessExited(_)
            | Body::FileOutside(_)
            | Body::AttributesChanged(_)
            | Body::TerminalRecorded(_)
            | Body::WorkspaceCompared(_)
            | Body::CommitCreated(_)
            | Body::RedactionApplied(_)
            | Body::RecorderDegraded(_)
            | Body::RecorderRestored(_) => [None, None],
        };
        deeds.into_iter().flatten().filter(|deed| !deed.is_gits())
    }

    /// Whether it was done to git's own directory: of no interest to somebody who asks what an agent read and wrote. What was
    /// refused there is.
    fn is_gits(&self) -> bool {
        match self {
            Self::Read { path, .. }
            | Self::ReadAgain { path, .. }
            | Self::Wrote { path, .. }
            | Self::Removed { path } => {
                path.is_root() || path.as_bytes().split(|byte| *byte == b'/').next() == Some(GIT)
            }
            Self::Refused(_)
            | Self::Ran(_)
            | Self::RanInstead(_)
            | Self::EgressRefused(_)
            | Self::Violated(_)
            | Self::Missed(_) => false,
        }
    }
}

/// Whether an access takes a file's content.
const fn reads(access: Access) -> bool {
    match access {
        Access::Read | Access::Execute => true,
        Access::Write => false,
    }
}
