//! Handles the events one by one, in the order of the kernel's queue. Whoever holds its lock runs it.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use custody_model::path::MAX_PATH_BYTES;
use custody_model::{Clock, Timestamp, WorkspacePath};
use custody_policy::{PathRules, Treatment};
use custody_record::event::{
    Access, AttributesChanged, FileKind, FileOpened, FileRead, FileRemoved, FileWritten,
    PolicyViolated, Uncertain,
};
use custody_record::{Body, SinkError};

use super::batch::Batch;
use super::directories::Directories;
use super::group::{Group, open_handle, path_below, stat};
use super::notice::{Notice, Span};
use super::writers::Writers;
use super::{Alarms, ObserveError, Observed, ObserverConfig, UNKNOWN_PID};
use crate::access::AccessSink;
use crate::content::{Contents, path_beneath};

/// A file that was written and not closed yet.
#[derive(Clone, Debug)]
pub(super) struct Unclosed {
    pub(super) path: WorkspacePath,
    /// Who wrote last.
    pub(super) pid: u32,
    /// A notice tells of that write; else the process only had it open for it.
    pub(super) sure: bool,
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

/// How often new events are handled before what the older ones leave open is looked up.
const MAX_ROUNDS: u32 = 64;

/// Paths of which something was inferred that are remembered; beyond it no path is relied on.
const MAX_SHAKEN: usize = 128;

/// Files with an uncertain version that are remembered; beyond it no path is relied on.
const MAX_UNSURE: usize = 1 << 16;

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
    /// Files whose last close was told without a digest, because another process's write was waiting in the queue; and who had
    /// written.
    pub(super) owed: HashMap<Box<[u8]>, u32>,
    /// Files that were opened and written to by one notice that tells of no close of a reader; and by whom.
    pub(super) half_opened: HashSet<(Box<[u8]>, u32)>,
    rules: PathRules,
    sink: Arc<dyn AccessSink>,
    alarms: Arc<dyn Alarms>,
    clock: Arc<dyn Clock>,
    own_pid: u32,
    time: Timestamp,
    primed: bool,
    /// The paths of the event that is handled now are uncertain.
    pub(super) doubtful: bool,
    /// Events with an uncertain path, in this run.
    doubts: u64,
    /// Where something was inferred: what is known of these paths, and of those below them, may be of another file.
    shaken: Vec<WorkspacePath>,
    /// Files whose last version was told as uncertain.
    unsure: HashSet<WorkspacePath>,
    pub(super) writers: Writers,
    spare: Batch,
    observed: Observed,
    /// Events whose place could not be found, in this run.
    lost: u64,
    failed: Option<ObserveError>,
}

impl Engine {
    pub(super) fn new(
        group: Arc<Group>,
        root: OwnedFd,
        upper: OwnedFd,
        config: ObserverConfig<'_>,
    ) -> Self {
        Self {
            group,
            root,
            contents: config.contents,
            directories: Directories::default(),
            names: HashMap::new(),
            unclosed: HashMap::new(),
            suspects: HashMap::new(),
            owed: HashMap::new(),
            half_opened: HashSet::new(),
            rules: config.rules,
            sink: config.sink,
            alarms: config.alarms,
            time: config.clock.now(),
            clock: config.clock,
            own_pid: config.own_pid,
            primed: false,
            doubtful: false,
            doubts: 0,
            shaken: Vec::new(),
            unsure: HashSet::new(),
            writers: Writers::new(upper),
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
    fn prime(&mut self) {
        if !self.primed {
            self.primed = true;
            let known = self.contents.below(&WorkspacePath::root());
            self.directories.prime(self.root.as_fd(), known.into_iter());
        }
    }

    /// Handles at least everything that waits now.
    pub(super) fn run(&mut self) -> Result<(), ObserveError> {
        let mut fresh = !self.primed;
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
            if std::mem::take(&mut fresh) {
                self.rewind(&mut batch);
            }
            let handled = self.handle_all(&mut batch);
            due = due.saturating_sub(handled as u64);
        }
        self.spare = batch;
        self.look_after_writers();
        if !self.suspects.is_empty() {
            let now = self.clock.now();
            self.convict(|suspect| now.micros_since(suspect.since) > SUSPECT_MICROS);
        }
        self.tell_doubts();
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            self.gap(format!(
                "{lost} events on files whose directory was gone before it was seen, or whose path is longer than \
                 {MAX_PATH_BYTES} bytes"
            ));
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Handles a batch, and looks up what its events leave open. Returns the number of events.
    fn handle_all(&mut self, batch: &mut Batch) -> usize {
        let mut at = 0;
        let mut rounds = 0;
        loop {
            rounds += 1;
            while let Some(notice) = batch.notice(at) {
                self.handle(batch, at, notice);
                at += 1;
            }
            self.doubtful = false;
            if self.names_hold(batch, rounds >= MAX_ROUNDS) && batch.notice(at).is_none() {
                return at;
            }
        }
    }

    /// A gap, if a path was told that is uncertain.
    fn tell_doubts(&mut self) {
        let doubts = std::mem::take(&mut self.doubts);
        if doubts > 0 {
            self.gap(format!(
                "the paths of {doubts} events are uncertain: directories or files were renamed there and back faster than \
                 the kernel tells of it"
            ));
        }
    }

    /// Tells the versions that nobody can be named for.
    fn convict(&mut self, due: impl Fn(&Suspect) -> bool) {
        let due: Vec<_> = self.suspects.extract_if(|_, suspect| due(suspect)).collect();
        for (object, Suspect { path, .. }) in due {
            let Some(file) = self.open(&object) else { continue };
            let path = self.name_of(&object, path);
            let (_, unnoticed) = self.contents.opened_through(&path, file.as_fd());
            if let Some(unnoticed) = unnoticed {
                let written = FileWritten {
                    path: path.clone(),
                    kind: FileKind::File,
                    before: unnoticed.before,
                    after: unnoticed.after,
                    open: true,
                    uncertain: None,
                };
                self.emit_remembered(UNKNOWN_PID, &object, &path, Body::FileWritten(written));
            }
        }
    }

    /// Tells what unclosed files have now.
    pub(super) fn settle(&mut self) -> Result<(), ObserveError> {
        self.convict(|_| true);
        for (object, path, pid) in self.writers.all() {
            // Its mapping may have written since it was told.
            let unclosed = Unclosed { path, pid, sure: false, modified: false, told: false };
            self.unclosed.entry(object).or_insert(unclosed).modified = true;
        }
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
            let path = self.name_of(&object, unclosed.path);
            let written = self.contents.written_through(&path, file.as_fd(), limit);
            if written.changed {
                let before = Some(written.before.unwrap_or_default());
                let told = FileWritten {
                    path: path.clone(),
                    kind: FileKind::File,
                    before,
                    after: written.after,
                    open: true,
                    uncertain: None,
                };
                self.emit_remembered(unclosed.pid, &object, &path, Body::FileWritten(told));
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
        if notice.mask == 0 {
            return;
        }
        self.doubtful = self.is_doubtful(batch, at, notice);
        if pid_of(notice) == self.own_pid {
            return;
        }
        if notice.mask & libc::FAN_RENAME != 0 {
            self.rename(batch, at, notice);
        } else if notice.mask & libc::FAN_ONDIR != 0 {
            self.directory(batch, at, notice);
        } else {
            self.file(batch, at, notice);
        }
    }

    fn directory(&mut self, batch: &mut Batch, at: usize, notice: Notice) {
        let Some(path) = self.locate(batch, at, notice) else { return };
        let (mask, pid) = (notice.mask, pid_of(notice));
        let made = mask & libc::FAN_CREATE != 0;
        let removed = mask & libc::FAN_DELETE != 0;
        if made {
            self.vacate(batch, notice);
        }
        if made && let (Some(object), Some(place)) = (notice.object, notice.place) {
            let (object, spot) = (owned(batch, Some(object)), batch.spot(place));
            if let (Some(object), Some(parent)) = (object, self.directories.id(&spot.directory)) {
                self.directories.stands(&object, parent, &spot.name);
                batch.moves.arrived(&object, spot);
            }
        }
        let object = notice.object.map(|o| batch.bytes(o));
        if made {
            self.contents.directory_made(&path);
            self.emit(pid, written(&path, FileKind::Directory, FileRead::default()));
            self.check(pid, &path, "a directory was made");
        }
        if mask & libc::FAN_OPEN != 0 {
            let content = FileRead::default();
            self.opened(pid, &path, FileKind::Directory, Access::Read, (content, false));
        }
        if mask & libc::FAN_ATTRIB != 0 {
            let place = notice.place.map(|p| batch.bytes(p.directory));
            self.attributes(pid, &path, object.or(place));
        }
        if removed {
            if let Some(object) = owned(batch, notice.object) {
                self.directories.removed(&object);
                self.departs(batch, notice);
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
        (content, doubtful): (FileRead, bool),
    ) {
        let uncertain = Uncertain::of(false, doubtful);
        let opened = FileOpened { path: path.clone(), kind, access, content, uncertain };
        self.emit(pid, Body::FileOpened(opened));
    }

    pub(super) fn attributes(&mut self, pid: u32, path: &WorkspacePath, object: Option<&[u8]>) {
        let file = object.and_then(|o| self.open(o));
        let mode =
            file.and_then(|f| stat(f.as_fd())).map(|s| format!("{:04o}", s.st_mode & 0o7777));
        let changed = AttributesChanged { path: path.clone(), mode, xattr: None, uncertain: None };
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
                uncertain: None,
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

    /// What is known of these paths, and of those below them, is not to be relied on any more.
    pub(super) fn shake(&mut self, paths: &[&WorkspacePath]) {
        for path in paths {
            if !self.is_shaken(path) {
                self.shaken.push((*path).clone());
            }
        }
        if self.shaken.len() > MAX_SHAKEN {
            self.shaken = vec![WorkspacePath::root()];
        }
    }

    /// What is known of the content at the path is uncertain, or not any more.
    pub(super) fn set_unsure(&mut self, path: &WorkspacePath, unsure: bool) {
        if !unsure {
            self.unsure.remove(path);
        } else if self.unsure.len() < MAX_UNSURE {
            self.unsure.insert(path.clone());
        } else {
            self.shaken = vec![WorkspacePath::root()];
        }
    }

    pub(super) fn is_shaken(&self, path: &WorkspacePath) -> bool {
        self.unsure.contains(path) || self.shaken.iter().any(|shaken| path.starts_with(shaken))
    }

    /// The name of a file that is remembered by its path: another of its names where it has lost this one.
    pub(super) fn name_of(&self, object: &[u8], path: WorkspacePath) -> WorkspacePath {
        if self.stands(&path, Some(object)) {
            return path;
        }
        let now = self.open(object).and_then(|file| self.spot_of(file.as_fd()));
        let now = now.and_then(|spot| self.path_of_spot(&spot));
        now.filter(|now| self.contents.known(now).is_some()).unwrap_or(path)
    }

    /// Tells of a file that is remembered by its path; as uncertain if it doesn't stand there.
    pub(super) fn emit_remembered(
        &mut self,
        pid: u32,
        object: &[u8],
        path: &WorkspacePath,
        body: Body,
    ) {
        let stands = self.stands(path, Some(object));
        let doubtful = std::mem::replace(&mut self.doubtful, !stands);
        self.emit(pid, body);
        self.doubtful = doubtful;
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
    pub(super) fn locate(
        &mut self,
        batch: &mut Batch,
        at: usize,
        notice: Notice,
    ) -> Option<WorkspacePath> {
        let path = match (notice.place, notice.object) {
            (Some(place), _) => self.path(batch, at, place),
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

    pub(super) fn emit(&mut self, pid: u32, mut body: Body) {
        if self.failed.is_some() {
            return;
        }
        if self.doubtful {
            self.doubts += 1;
            doubt_path(&mut body);
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
        self.writers.paths().for_each(&moved);
        let unsure = std::mem::take(&mut self.unsure).into_iter().map(|mut path| {
            moved(&mut path);
            path
        });
        self.unsure = unsure.collect();
        // What is not to be relied on is elsewhere now; of what came in its place nothing is known yet.
        let mut shaken = self.shaken.clone();
        shaken.iter_mut().for_each(&moved);
        self.shake(&shaken.iter().collect::<Vec<_>>());
    }

    /// Gives what is remembered of a file by one of its paths the other.
    pub(super) fn moved_file(&mut self, object: &[u8], from: &WorkspacePath, to: &WorkspacePath) {
        let paths = self.names.get_mut(object).into_iter();
        let paths = paths.chain(self.unclosed.get_mut(object).map(|u| &mut u.path));
        let paths = paths.chain(self.suspects.get_mut(object).map(|s| &mut s.path));
        let paths = paths.chain(self.writers.path_mut(object));
        for path in paths.filter(|path| **path == *from) {
            *path = to.clone();
        }
        let shaken = self.shaken.iter().any(|shaken| from.starts_with(shaken));
        if self.unsure.remove(from) || shaken {
            self.set_unsure(to, true);
        } else {
            self.unsure.remove(to);
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// Says that the path may be another.
fn doubt_path(body: &mut Body) {
    let uncertain = match body {
        Body::FileOpened(told) => &mut told.uncertain,
        Body::FileWritten(told) => &mut told.uncertain,
        Body::FileRenamed(told) => &mut told.uncertain,
        Body::FileRemoved(told) => &mut told.uncertain,
        Body::FileLinked(told) => &mut told.uncertain,
        Body::FileSymlinked(told) => &mut told.uncertain,
        Body::AttributesChanged(told) => &mut told.uncertain,
        // No statement of where a file was.
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
        | Body::RecorderRestored(_) => return,
    };
    *uncertain = Uncertain::of(true, uncertain.is_some_and(Uncertain::content));
}

/// The creation of something.
pub(super) fn written(path: &WorkspacePath, kind: FileKind, after: FileRead) -> Body {
    Body::FileWritten(FileWritten {
        path: path.clone(),
        kind,
        before: None,
        after,
        open: false,
        uncertain: None,
    })
}

/// The process of an event; 0 if it is outside of this process's pid namespace.
pub(super) fn pid_of(notice: Notice) -> u32 {
    u32::try_from(notice.pid).unwrap_or(0)
}

/// A handle's bytes, kept.
pub(super) fn owned(batch: &Batch, object: Option<Span>) -> Option<Box<[u8]>> {
    object.map(|o| batch.bytes(o).into())
}
