//! Handles the events one by one, in the order of the kernel's queue. Whoever holds its lock runs it.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use custody_model::path::MAX_PATH_BYTES;
use custody_model::{Clock, Timestamp, WorkspacePath};
use custody_policy::{PathRules, Treatment};
use custody_record::event::{
    Access, AttributesChanged, FileKind, FileOpened, FileRead, FileRemoved, FileWritten,
    PolicyViolated,
};
use custody_record::{Body, SinkError};

use super::batch::Batch;
use super::directories::Directories;
use super::group::{Group, open_handle, path_below, stat};
use super::notice::{Notice, Place, Span};
use super::{Alarms, ObserveError, Observed, ObserverConfig, UNKNOWN_PID};
use crate::access::AccessSink;
use crate::content::{Contents, path_beneath};

/// A file that was written and not closed yet.
#[derive(Clone, Debug)]
pub(super) struct Unclosed {
    pub(super) path: WorkspacePath,
    /// Who wrote last.
    pub(super) pid: u32,
    /// It was written since it was hashed.
    pub(super) modified: bool,
    /// An open version of it was told: its close is to be told as well.
    pub(super) told: bool,
}

/// A file that was found changed without any notice of a write.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) path: WorkspacePath,
    pub(super) since: Timestamp,
}

/// Microseconds after which no notice of a write is expected any more.
const SUSPECT_MICROS: u64 = 1_000_000;

pub(super) struct Engine {
    pub(super) group: Arc<Group>,
    /// The root of the overlay, for handles.
    pub(super) root: OwnedFd,
    pub(super) contents: Arc<Contents>,
    pub(super) directories: Directories,
    /// A name of each file that came to be in this session, by its handle.
    pub(super) names: HashMap<Box<[u8]>, WorkspacePath>,
    pub(super) unclosed: HashMap<Box<[u8]>, Unclosed>,
    pub(super) suspects: HashMap<Box<[u8]>, Suspect>,
    /// Files whose last close was told without a digest, because another process's write was waiting in the queue.
    pub(super) owed: HashSet<Box<[u8]>>,
    rules: PathRules,
    sink: Arc<dyn AccessSink>,
    alarms: Arc<dyn Alarms>,
    clock: Arc<dyn Clock>,
    own_pid: u32,
    time: Timestamp,
    primed: bool,
    spare: Batch,
    observed: Observed,
    /// Events whose place could not be found, in this run.
    lost: u64,
    failed: Option<ObserveError>,
}

impl Engine {
    pub(super) fn new(group: Arc<Group>, root: OwnedFd, config: ObserverConfig<'_>) -> Self {
        Self {
            group,
            root,
            contents: config.contents,
            directories: Directories::default(),
            names: HashMap::new(),
            unclosed: HashMap::new(),
            suspects: HashMap::new(),
            owed: HashSet::new(),
            rules: config.rules,
            sink: config.sink,
            alarms: config.alarms,
            time: config.clock.now(),
            clock: config.clock,
            own_pid: config.own_pid,
            primed: false,
            spare: Batch::default(),
            observed: Observed::default(),
            lost: 0,
            failed: None,
        }
    }

    pub(super) fn observed(&self) -> Observed {
        self.observed
    }

    /// Learns the directories of the base, once, before the first event is handled.
    pub(super) fn prime(&mut self) {
        if !self.primed {
            self.primed = true;
            let known = self.contents.below(&WorkspacePath::root());
            self.directories.prime(self.root.as_fd(), known.into_iter());
        }
    }

    /// Handles at least everything that waits now.
    pub(super) fn run(&mut self) -> Result<(), ObserveError> {
        self.prime();
        // Those that come meanwhile are handled as well, but an endless stream of them is not waited for.
        let mut due = match self.group.waiting() {
            Ok(due) => due,
            Err(errno) => return Err(self.broken(&format!("FIONREAD: {errno}"))),
        };
        let mut batch = std::mem::take(&mut self.spare);
        while due > 0 && self.failed.is_none() {
            batch.clear();
            if self.pull(&mut batch) == 0 {
                break;
            }
            let mut at = 0;
            while let Some(notice) = batch.notice(at) {
                self.handle(&mut batch, at, notice);
                at += 1;
            }
            due = due.saturating_sub(at as u64);
        }
        self.spare = batch;
        if !self.suspects.is_empty() {
            let now = self.clock.now();
            self.convict(|suspect| now.micros_since(suspect.since) > SUSPECT_MICROS);
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.gap(format!(
                "{lost} events on files whose directory was gone before it was seen, or whose path is longer than \
                 {MAX_PATH_BYTES} bytes"
            ));
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Tells the versions that nobody can be named for.
    fn convict(&mut self, due: impl Fn(&Suspect) -> bool) {
        let due: Vec<_> = self.suspects.extract_if(|_, suspect| due(suspect)).collect();
        for (object, Suspect { path, .. }) in due {
            let Some(file) = self.open(&object) else { continue };
            let (_, unnoticed) = self.contents.opened_through(&path, file.as_fd());
            if let Some(unnoticed) = unnoticed {
                let written = FileWritten {
                    path,
                    kind: FileKind::File,
                    before: unnoticed.before,
                    after: unnoticed.after,
                    open: true,
                };
                self.emit(UNKNOWN_PID, Body::FileWritten(written));
            }
        }
    }

    /// Tells what unclosed files have now.
    pub(super) fn settle(&mut self) -> Result<(), ObserveError> {
        self.convict(|_| true);
        let modified: Vec<(Box<[u8]>, Unclosed)> = self
            .unclosed
            .iter_mut()
            .filter(|(_, file)| file.modified)
            .map(|(object, file)| {
                file.modified = false;
                file.told = true;
                (object.clone(), file.clone())
            })
            .collect();
        for (object, unclosed) in modified {
            // It has lost its last name: nothing of it can get out.
            let Ok(file) = open_handle(self.root.as_fd(), &object) else { continue };
            let limit = self.contents.limits().open;
            let written = self.contents.written_through(&unclosed.path, file.as_fd(), limit);
            if written.changed {
                let before = Some(written.before.unwrap_or_default());
                self.emit(
                    unclosed.pid,
                    Body::FileWritten(FileWritten {
                        path: unclosed.path,
                        kind: FileKind::File,
                        before,
                        after: written.after,
                        open: true,
                    }),
                );
            }
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Reads what waits into `batch`. Returns the number of events.
    pub(super) fn pull(&mut self, batch: &mut Batch) -> usize {
        if self.failed.is_some() {
            return 0;
        }
        match batch.pull(&self.group) {
            Ok(count) => {
                if count > 0 {
                    self.time = self.clock.now();
                    self.observed.notices += count as u64;
                }
                count
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(|s| format!(": {s}"));
                self.broken(&format!("{error}{}", source.unwrap_or_default()));
                0
            }
        }
    }

    fn handle(&mut self, batch: &mut Batch, at: usize, notice: Notice) {
        if notice.mask & libc::FAN_Q_OVERFLOW != 0 {
            self.gap("the kernel's queue of file events overflowed".to_owned());
        }
        if pid_of(notice) == self.own_pid || notice.mask == 0 {
            return;
        }
        if notice.mask & libc::FAN_RENAME != 0 {
            self.rename(batch, at, notice);
        } else if notice.mask & libc::FAN_ONDIR != 0 {
            self.directory(batch, notice);
        } else {
            self.file(batch, at, notice);
        }
    }

    fn directory(&mut self, batch: &Batch, notice: Notice) {
        let Some(path) = self.locate(batch, notice) else { return };
        let (mask, pid) = (notice.mask, pid_of(notice));
        let object = notice.object.map(|o| batch.bytes(o));
        let made = mask & libc::FAN_CREATE != 0;
        let mut removed = mask & libc::FAN_DELETE != 0;
        if made && removed && self.stands(&path, object) {
            removed = false;
        }
        if made {
            if let Some(object) = object {
                self.directories.made(object, path.clone());
            }
            self.contents.directory_made(&path);
            self.emit(pid, written(&path, FileKind::Directory, FileRead::default()));
            self.check(pid, &path, "a directory was made");
        }
        if mask & libc::FAN_OPEN != 0 {
            let content = FileRead::default();
            self.opened(pid, &path, FileKind::Directory, Access::Read, content);
        }
        if mask & libc::FAN_ATTRIB != 0 {
            let place = notice.place.map(|p| batch.bytes(p.directory));
            self.attributes(pid, &path, object.or(place));
        }
        if removed {
            if let Some(object) = object {
                self.directories.removed(object);
            }
            self.remove(pid, &path, true);
        }
    }

    pub(super) fn opened(
        &mut self,
        pid: u32,
        path: &WorkspacePath,
        kind: FileKind,
        access: Access,
        content: FileRead,
    ) {
        let opened = FileOpened { path: path.clone(), kind, access, content };
        self.emit(pid, Body::FileOpened(opened));
    }

    pub(super) fn attributes(&mut self, pid: u32, path: &WorkspacePath, object: Option<&[u8]>) {
        let file = object.and_then(|o| self.open(o));
        let mode =
            file.and_then(|f| stat(f.as_fd())).map(|s| format!("{:04o}", s.st_mode & 0o7777));
        let changed = AttributesChanged { path: path.clone(), mode, xattr: None };
        self.emit(pid, Body::AttributesChanged(changed));
    }

    pub(super) fn remove(&mut self, pid: u32, path: &WorkspacePath, directory: bool) {
        let removed = self.contents.removed(path, directory);
        self.emit(
            pid,
            Body::FileRemoved(FileRemoved {
                path: path.clone(),
                kind: removed.kind,
                before: removed.before,
            }),
        );
    }

    /// Tells if a rule guards a path that just came to be.
    pub(super) fn check(&mut self, pid: u32, path: &WorkspacePath, what: &str) {
        if !self.rules.has_guards() {
            return;
        }
        let ruling = self.rules.treatment(path);
        let rule = match ruling.treatment {
            Treatment::ReadWrite => return,
            Treatment::ReadOnly | Treatment::Deny => ruling.rule.to_owned(),
        };
        let (path, what) = (path.clone(), what.to_owned());
        self.emit(pid, Body::PolicyViolated(PolicyViolated { path, rule, what }));
    }

    pub(super) fn has_guards(&self) -> bool {
        self.rules.has_guards()
    }

    /// Whether the object stands at `path` now.
    pub(super) fn stands(&self, path: &WorkspacePath, object: Option<&[u8]>) -> bool {
        let object = object.and_then(|o| self.open(o)).and_then(|f| stat(f.as_fd()));
        let found = path_beneath(self.root.as_fd(), path).ok().and_then(|f| stat(f.as_fd()));
        matches!((object, found), (Some(a), Some(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    pub(super) fn open(&self, object: &[u8]) -> Option<OwnedFd> {
        open_handle(self.root.as_fd(), object).ok()
    }

    /// Where the event happened. Counts it as lost if that can't be told; `None` as well for what is no access.
    pub(super) fn locate(&mut self, batch: &Batch, notice: Notice) -> Option<WorkspacePath> {
        let path = match (notice.place, notice.object) {
            (Some(place), _) => self.path(batch, place),
            // The number of links of an inode changed: the event on the name tells it.
            (None, _) if notice.mask & !libc::FAN_ONDIR == libc::FAN_ATTRIB => return None,
            (None, Some(object)) => self.path_of(batch.bytes(object)),
            (None, None) => None,
        };
        if path.is_none() {
            self.lost += 1;
        }
        path
    }

    pub(super) fn path(&mut self, batch: &Batch, place: Place) -> Option<WorkspacePath> {
        let directory = self.directories.path(self.root.as_fd(), batch.bytes(place.directory))?;
        match batch.bytes(place.name) {
            b"" | b"." => Some(directory.clone()),
            name => directory.join(name).ok(),
        }
    }

    /// For objects that were reached without a name (by a handle, for example).
    fn path_of(&self, object: &[u8]) -> Option<WorkspacePath> {
        if let Some(path) = self.names.get(object) {
            return Some(path.clone());
        }
        let file = self.open(object)?;
        WorkspacePath::from_bytes(&path_below(self.root.as_fd(), file.as_fd())?).ok()
    }

    pub(super) fn lose(&mut self) {
        self.lost += 1;
    }

    pub(super) fn emit(&mut self, pid: u32, body: Body) {
        if self.failed.is_some() {
            return;
        }
        match self.sink.access(self.time, pid, body) {
            Ok(()) => self.observed.accesses += 1,
            Err(error) => self.unrecorded(error),
        }
    }

    fn unrecorded(&mut self, error: SinkError) {
        self.alarms.failed(&error);
        self.failed = Some(ObserveError::Record(error));
    }

    fn gap(&mut self, reason: String) {
        self.observed.gaps += 1;
        self.alarms.gap(reason);
    }

    /// Nothing is seen from now on.
    pub(super) fn broken(&mut self, reason: &str) -> ObserveError {
        let error = ObserveError::Read(reason.to_owned());
        self.failed = Some(error.clone());
        self.gap(format!("file events can't be read any more: {reason}"));
        error
    }

    /// When what is handled now was read.
    pub(super) fn time(&self) -> Timestamp {
        self.time
    }

    /// Gives everything that is remembered by its path another path.
    pub(super) fn moved(&mut self, moved: impl Fn(&mut WorkspacePath)) {
        self.names.values_mut().for_each(&moved);
        self.unclosed.values_mut().map(|u| &mut u.path).for_each(&moved);
        self.suspects.values_mut().map(|s| &mut s.path).for_each(&moved);
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The creation of something.
pub(super) fn written(path: &WorkspacePath, kind: FileKind, after: FileRead) -> Body {
    Body::FileWritten(FileWritten { path: path.clone(), kind, before: None, after, open: false })
}

/// The process of an event; 0 if it is outside of this process's pid namespace.
pub(super) fn pid_of(notice: Notice) -> u32 {
    u32::try_from(notice.pid).unwrap_or(0)
}

/// A handle's bytes, kept.
pub(super) fn owned(batch: &Batch, object: Option<Span>) -> Option<Box<[u8]>> {
    object.map(|o| batch.bytes(o).into())
}
