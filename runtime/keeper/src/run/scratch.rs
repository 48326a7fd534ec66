//! Scratch: what a session may write besides its workspace, one file system of its own, observed as the workspace is.
//!
//! The keeper makes the file system and hands it to the driver, which attaches its directories. So the keeper has its root,
//! and watches all of it by one mark, through whatever mount it is reached. Contents are hashed and not kept.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::{Timestamp, WorkspacePath};
use custody_policy::PathRules;
use custody_record::SinkError;
use custody_record::event::{
    Access, Body, DifferenceKind, FileKind, FileOutside, FileRead, GapCode, GapSource, Operation,
    OutsidePlace, Uncertain, Unhashed,
};
use custody_sandbox::spec::SCRATCH_DIRECTORIES;
use custody_workspace::AccessSink;
use custody_workspace::compare::compare;
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::observe::{BacklogLimits, Observer, ObserverConfig};
use custody_workspace::spelling::Spelling;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::prepare::Bells;
use super::{KeeperError, Session};
use crate::recorder::Recorder;

/// The largest file outside of the workspace whose content is hashed by default, in bytes: compilers fill scratch.
pub const DEFAULT_HASHED_OUTSIDE: u64 = 16 << 20;

/// The same, for files that still are open for writing: they may be hashed many times.
const MAX_OPEN_HASHED_BYTES: u64 = 1 << 20;

/// Bytes that are hashed when the session has ended, of all files together.
const MAX_END_HASHED_BYTES: u64 = 1 << 30;

/// Differences that a gap names.
const NAMED_DIFFERENCES: usize = 5;

/// The file system, mounted for the driver.
pub(super) struct Scratch {
    point: PathBuf,
    root: OwnedFd,
}

impl Scratch {
    /// Mounts an empty file system of at most `bytes` at `point` in this mount namespace.
    pub(super) fn mount(point: PathBuf, bytes: Option<u64>) -> Result<Self, KeeperError> {
        std::fs::create_dir_all(&point)
            .map_err(KeeperError::file("making the directory of scratch"))?;
        let size = bytes.map(|bytes| format!("size={bytes},")).unwrap_or_default();
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let options = format!("{size}mode=0755");
        mount(Some("tmpfs"), &point, Some("tmpfs"), flags, Some(options.as_str()))
            .map_err(KeeperError::step("mounting scratch"))?;
        let root = File::open(&point).map_err(KeeperError::file("opening scratch"))?;
        Ok(Self { point, root: root.into() })
    }

    /// The mount point, for the driver.
    pub(super) fn point(&self) -> &Path {
        &self.point
    }

    /// Starts to watch it, and detaches it from this mount namespace: the sandbox has it.
    pub(super) fn watch(self, session: &Session<'_>) -> Result<WatchedScratch, KeeperError> {
        umount2(&self.point, MntFlags::MNT_DETACH)
            .map_err(KeeperError::step("detaching scratch"))?;
        let root = self.root.try_clone().map_err(KeeperError::file("opening scratch"))?;
        let limits = HashLimits {
            closed: session.setup.hashed_outside,
            open: session.setup.hashed_outside.min(MAX_OPEN_HASHED_BYTES),
            end: MAX_END_HASHED_BYTES,
        };
        let contents = Arc::new(Contents::new(root, GitHash::Sha1, [], limits));
        // What the driver made in it is there from the start.
        learn(&self.root, &contents).map_err(KeeperError::step("looking at scratch"))?;
        let sink = ScratchSink { recorder: session.recorder.clone(), limit: limits.closed };
        let observer = Observer::start(ObserverConfig {
            mount: self.root.as_fd(),
            upper: self.root.as_fd(),
            contents: contents.clone(),
            sink: Arc::new(sink),
            alarms: Arc::new(Bells {
                source: GapSource::Scratch,
                recorder: session.recorder.clone(),
                messages: session.sender.clone(),
            }),
            clock: session.setup.clock.clone(),
            rules: PathRules::default(),
            own_pid: std::process::id(),
            backlog: BacklogLimits::default(),
        })
        .map_err(KeeperError::step("watching scratch"))?;
        Ok(WatchedScratch { root: self.root, contents, observer: Some(observer) })
    }
}

/// Makes the current files below `root` known to `contents`.
fn learn(root: &OwnedFd, contents: &Contents) -> nix::Result<()> {
    use nix::dir::{Dir, Type};
    use nix::fcntl::OFlag;
    use nix::sys::stat::Mode;
    let mut open = vec![WorkspacePath::root()];
    while let Some(directory) = open.pop() {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let here = if directory.is_root() { Path::new(".") } else { directory.as_path() };
        let mut listing = Dir::openat(root.as_fd(), here, flags, Mode::empty())?;
        for entry in listing.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let Ok(path) = directory.join(name) else { continue };
            if entry.file_type() == Some(Type::Directory) {
                contents.directory_made(&path);
                open.push(path);
            } else {
                let _made_by_the_driver = contents.written(&path);
            }
        }
    }
    Ok(())
}

/// Scratch that is watched.
pub(crate) struct WatchedScratch {
    root: OwnedFd,
    contents: Arc<Contents>,
    /// Until the end of the watch.
    observer: Option<Observer>,
}

impl WatchedScratch {
    /// Waits until all accesses before the call are in the recorder.
    pub(super) fn drain(&self) -> Result<(), SinkError> {
        let Some(observer) = &self.observer else { return Ok(()) };
        observer.drain().map_err(|e| SinkError::Unwritable(format!("scratch: {e}")))
    }

    /// The end of the watch.
    pub(super) fn finish(&mut self) -> Result<(), SinkError> {
        let Some(observer) = self.observer.take() else { return Ok(()) };
        observer.finish().map_err(|e| SinkError::Unwritable(format!("scratch: {e}")))?;
        Ok(())
    }

    /// Compares its files with the events; a difference becomes a gap.
    pub(super) fn compare(self, recorder: &Recorder) -> Result<(), SinkError> {
        let compared = match compare(self.root.as_fd(), &self.contents, Spelling::as_it_is()) {
            Ok(compared) => compared,
            Err(error) => {
                let reason = format!("scratch can't be compared with the record: {error}");
                return recorder.gap(GapSource::Scratch, GapCode::NotCompared, reason);
            }
        };
        for gap in compared.gaps {
            let reason = format!("scratch: {gap}");
            recorder.gap(GapSource::Scratch, GapCode::NotCompared, reason)?;
        }
        let told = compared.told;
        if told.difference_count == 0 {
            return Ok(());
        }
        let named = told.differences.iter().take(NAMED_DIFFERENCES).map(|difference| {
            let what = match difference.kind {
                DifferenceKind::Unrecorded => "not on record",
                DifferenceKind::Missing => "missing",
                DifferenceKind::Differs => "another content",
            };
            format!("{} ({what})", inside(&difference.path))
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let count = told.difference_count;
        let reason = format!("{count} paths of scratch differ from the record, the first: {named}");
        recorder.gap(GapSource::Scratch, GapCode::FilesUnobserved, reason)
    }
}

/// Records accesses to scratch as `file.outside`.
struct ScratchSink {
    recorder: Arc<Recorder>,
    /// The largest file whose content is hashed, in bytes.
    limit: u64,
}

impl AccessSink for ScratchSink {
    fn access(&self, time: Timestamp, pid: u32, body: Body) -> Result<(), SinkError> {
        match outside(body, self.limit) {
            Some(outside) => self.recorder.access(time, pid, Body::FileOutside(outside)),
            None => Ok(()),
        }
    }
}

/// The path in the sandbox for a path of the file system.
fn inside(path: &WorkspacePath) -> String {
    let text = path.to_text();
    let (first, rest) = match text.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (&*text, None),
    };
    let known = SCRATCH_DIRECTORIES.iter().find(|(name, _)| *name == first);
    let place = known.map_or_else(|| format!("/{first}"), |(_, inside)| (*inside).to_owned());
    match rest {
        Some(rest) => format!("{place}/{rest}"),
        None => place,
    }
}

/// An event of the observer as a `file.outside`; `None` for events that are not recorded for scratch.
fn outside(body: Body, limit: u64) -> Option<FileOutside> {
    let base = |path: &WorkspacePath, operation, kind| {
        FileOutside::new(OutsidePlace::Scratch, inside(path), operation, kind)
    };
    let with = |read: FileRead, mut told: FileOutside| {
        let (content, unhashed) = content(read, limit, told.open);
        (told.content, told.unhashed) = (content, unhashed);
        told
    };
    Some(match body {
        Body::FileOpened(opened) => {
            let operation = match opened.access {
                _ if opened.kind == FileKind::Directory => return None,
                Access::Read => Operation::Read,
                Access::Execute => Operation::Execute,
                Access::Write => Operation::Open,
            };
            let told = base(&opened.path, operation, opened.kind);
            with(opened.content, FileOutside { uncertain: opened.uncertain, ..told })
        }
        Body::FileWritten(written) => {
            let operation = match (written.kind, &written.before) {
                (FileKind::Directory, _) => Operation::Mkdir,
                // It was gone before it was seen.
                (FileKind::Other, _) if written.uncertain.is_some_and(Uncertain::content) => {
                    Operation::Create
                }
                (FileKind::Other, _) => Operation::Mknod,
                (FileKind::File | FileKind::Symlink, None) => Operation::Create,
                (FileKind::File | FileKind::Symlink, Some(_)) => Operation::Write,
            };
            let told = base(&written.path, operation, written.kind);
            let (open, uncertain) = (written.open, written.uncertain);
            with(written.after, FileOutside { open, uncertain, ..told })
        }
        Body::FileRenamed(renamed) => FileOutside {
            target: Some(inside(&renamed.to)),
            exchanged: renamed.exchanged,
            uncertain: renamed.uncertain,
            ..base(&renamed.from, Operation::Rename, renamed.kind)
        },
        Body::FileRemoved(removed) => {
            let operation = match removed.kind {
                FileKind::Directory => Operation::Rmdir,
                FileKind::File | FileKind::Symlink | FileKind::Other => Operation::Unlink,
            };
            let told = base(&removed.path, operation, removed.kind);
            FileOutside { uncertain: removed.uncertain, ..told }
        }
        Body::FileLinked(linked) => FileOutside {
            target: linked.target.as_ref().map(inside),
            uncertain: linked.uncertain,
            ..base(&linked.path, Operation::Link, FileKind::File)
        },
        Body::FileSymlinked(linked) => FileOutside {
            target: Some(linked.target),
            uncertain: linked.uncertain,
            ..base(&linked.path, Operation::Symlink, FileKind::Symlink)
        },
        Body::AttributesChanged(changed) => {
            let told = base(&changed.path, Operation::Setattr, FileKind::File);
            FileOutside { uncertain: changed.uncertain, ..told }
        }
        // No access to a file: the observer of scratch has no rules, and tells of nothing else.
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
        | Body::FileReopened(_)
        | Body::FileDenied(_)
        | Body::FileOutside(_)
        | Body::EgressDenied(_)
        | Body::TerminalRecorded(_)
        | Body::WorkspaceCompared(_)
        | Body::RedactionApplied(_)
        | Body::CommitCreated(_)
        | Body::RecorderGap(_)
        | Body::RecorderDegraded(_)
        | Body::RecorderRestored(_) => return None,
    })
}

/// A content as far as it is known, and why it has no digest; git's name for it means nothing here.
fn content(read: FileRead, limit: u64, open: bool) -> (Option<FileRead>, Option<Unhashed>) {
    let FileRead { digest, size, git_blob: _ } = read;
    let limit = if open { limit.min(MAX_OPEN_HASHED_BYTES) } else { limit };
    let unhashed = match (digest, size) {
        (None, Some(size)) if size > limit => Some(Unhashed::TooLarge),
        (None, Some(_)) => Some(Unhashed::EndLimit),
        (Some(_), _) | (None, None) => None,
    };
    let content = FileRead { digest, size, git_blob: None };
    ((content != FileRead::default()).then_some(content), unhashed)
}

#[cfg(test)]
mod tests {
    use custody_sandbox::spec::HOME_INSIDE;

    use super::*;

    #[test]
    fn paths_of_scratch_are_those_of_the_sandbox() {
        let path = |text: &str| inside(&text.parse().unwrap());
        assert_eq!(path("tmp/a/b"), "/tmp/a/b");
        assert_eq!(path("var-tmp/a"), "/var/tmp/a");
        assert_eq!(path("shm/a"), "/dev/shm/a");
        assert_eq!(path("agent/.cache"), format!("{HOME_INSIDE}/.cache"));
        assert_eq!(path("run"), "/run");
    }
}
