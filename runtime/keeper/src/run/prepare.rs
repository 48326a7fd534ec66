//! Prepare: the base checkout, the overlay on it, and the mediators of the workspace.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use custody_model::{Clock, GitOid};
use custody_policy::PathRules;
use custody_record::SinkError;
use custody_record::event::{GapCode, GapSource};
use custody_sandbox::{Authorization, Identity};
use custody_workspace::base::{Base, BaseRequest, Progress};
use custody_workspace::content::{Contents, GitHash, HashLimits};
use custody_workspace::guard::{Guard, GuardConfig, GuardLimits, GuardMode, Settling};
use custody_workspace::mirror::{Mirror, Mirrors};
use custody_workspace::observe::{Alarms, BacklogLimits, Observer, ObserverConfig};
use custody_workspace::outputs;
use custody_workspace::overlay::Owner;
use custody_workspace::spelling::Spelling;
use custody_workspace::view::{MAX_GUARDED_PATHS, Mediation, Workspace, WorkspaceConfig};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::scratch::WatchedScratch;
use super::{KeeperError, Message, Session};
use crate::inside::{Programs, Readings};
use crate::recorder::Recorder;

/// Threads that serve the guard.
const GUARD_THREADS: usize = 2;

/// The workspace of a session with everything that mediates it.
pub(crate) struct Prepared {
    pub(super) mirror: Mirror,
    pub(super) base: Base,
    pub(super) workspace: Workspace,
    pub(super) contents: Arc<Contents>,
    pub(super) guard: Option<Guard>,
    pub(super) watch: Watch,
}

/// What brings the record of the workspace up to date, shared with those who have to before an effect.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    /// None with a guard at the root, which sees everything itself.
    observer: Arc<Mutex<Option<Observer>>>,
    /// For what is written through the guard and not closed yet.
    settling: Option<Settling>,
    /// Of scratch; there once the sandbox is.
    scratch: Arc<Mutex<Option<WatchedScratch>>>,
    /// What was read of the image; set once the sandbox is there.
    readings: Arc<OnceLock<Arc<Readings>>>,
    /// What was opened to be run; set once the sandbox is there.
    programs: Arc<OnceLock<Arc<Programs>>>,
}

impl Watch {
    /// Has the opened programs compared at each drain.
    pub(super) fn add(&self, programs: Arc<Programs>) {
        // Given once, when the sandbox is provisioned.
        let _twice = self.programs.set(programs);
    }

    /// Has scratch brought up to date at each drain.
    pub(super) fn add_scratch(&self, scratch: WatchedScratch) {
        *self.lock_scratch() = Some(scratch);
    }

    /// Has the reads of the image brought up to date at each drain.
    pub(super) fn add_readings(&self, readings: Arc<Readings>) {
        let _twice = self.readings.set(readings);
    }

    /// Compares what is left in scratch with the record. Call it after [`Watch::finish`].
    ///
    /// # Errors
    /// The record can't be written.
    pub(super) fn compare_scratch(&self, recorder: &Recorder) -> Result<(), SinkError> {
        self.lock_scratch().take().map_or(Ok(()), |scratch| scratch.compare(recorder))
    }

    fn lock_scratch(&self) -> MutexGuard<'_, Option<WatchedScratch>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compare(&self) -> Result<(), SinkError> {
        self.programs.get().map_or(Ok(()), |programs| programs.drain())?;
        self.readings.get().map_or(Ok(()), |readings| readings.drain())
    }

    /// Waits until all accesses before the call are in the recorder.
    pub(super) fn drain(&self) -> Result<(), SinkError> {
        self.compare()?;
        if let Some(observer) = &*self.observer.lock().unwrap_or_else(PoisonError::into_inner) {
            observer.drain().map_err(|e| SinkError::Unwritable(format!("the workspace: {e}")))?;
        }
        if let Some(scratch) = &*self.lock_scratch() {
            scratch.drain()?;
        }
        self.settle()
    }

    fn settle(&self) -> Result<(), SinkError> {
        let Some(settling) = &self.settling else { return Ok(()) };
        settling.settle().map_err(|e| SinkError::Unwritable(format!("the workspace: {e}")))
    }

    /// The end of the watch.
    pub(super) fn finish(&self) -> Result<(), SinkError> {
        self.compare()?;
        self.readings.get().map_or(Ok(()), |readings| readings.finish())?;
        if let Some(observer) = self.observer.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            observer.finish().map_err(|e| SinkError::Unwritable(format!("the workspace: {e}")))?;
        }
        if let Some(scratch) = &mut *self.lock_scratch() {
            scratch.finish()?;
        }
        self.settle()
    }
}

/// Moves this thread (of a process with one: the process) into a mount namespace of its own, from which nothing gets
/// out.
pub(crate) fn private_mounts() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    // Mounts of the host still come in; ours do not get out.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
}

/// What the mediators of a workspace are made from.
pub(super) struct Parts<'a> {
    pub(super) state: &'a Path,
    pub(super) mirror: Mirror,
    pub(super) commit: &'a GitOid,
    pub(super) rules: &'a PathRules,
    pub(super) strict: bool,
    pub(super) directory: &'a Path,
    pub(super) recorder: &'a Arc<Recorder>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) messages: &'a Sender<Message>,
}

pub(super) fn prepare(
    session: &Session<'_>,
    authorization: &Authorization,
) -> Result<Prepared, KeeperError> {
    let permit = authorization.intent();
    let state = session.setup.state.path();
    let name = session
        .spec
        .repository
        .parse()
        .map_err(KeeperError::step("reading the repository's name"))?;
    let mirror = Mirrors::of(state)
        .get(&name)
        .map_err(KeeperError::step("opening the repository's mirror"))?;
    let parts = Parts {
        state,
        mirror,
        commit: &session.spec.base_commit,
        rules: permit.path_rules(),
        strict: permit.strict(),
        directory: &session.dir.workspace(),
        recorder: &session.recorder,
        clock: &session.setup.clock,
        messages: &session.sender,
    };
    mediate(parts, &mut |step| tell(session, step))
}

/// The file in a session's directory of its workspace that names the base, as [`Base::name`] does.
pub const BASE_NAME: &str = "base";

/// Mounts the workspace with its mediators on it.
pub(super) fn mediate(
    parts: Parts<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared, KeeperError> {
    let identity = Identity::default();
    let owner = workspace_owner();
    let author = outputs::Identity::agent();
    let request = BaseRequest {
        mirror: &parts.mirror,
        commit: parts.commit,
        rules: parts.rules,
        owner,
        owner_inside: Owner { uid: identity.uid, gid: identity.gid },
        identity: &author,
        now: parts.clock.now(),
    };
    let base = Base::prepare(parts.state, &request, progress)
        .map_err(KeeperError::step("preparing the base checkout"))?;
    std::fs::create_dir_all(parts.directory)
        .map_err(KeeperError::file(format!("making {}", parts.directory.display())))?;
    if let Some(name) = base.name() {
        let path = parts.directory.join(BASE_NAME);
        std::fs::write(&path, name)
            .map_err(KeeperError::file(format!("writing {}", path.display())))?;
    }
    let workspace = Workspace::prepare(&WorkspaceConfig {
        base: &base,
        rules: parts.rules,
        strict: parts.strict,
        directory: parts.directory,
        owner,
        max_guarded_paths: MAX_GUARDED_PATHS,
    })
    .map_err(KeeperError::step("mounting the workspace"))?;
    let contents = Arc::new(contents(&base, workspace.clean(), Spelling::as_it_is())?);
    let guard = match workspace.needs_guard() {
        true => Some(mount_guard(&parts, &workspace, &contents)?),
        false => None,
    };
    let observer = match workspace.mediation() {
        Mediation::Observed { .. } => observe(&parts, &workspace, &contents)?,
        Mediation::Strict { .. } => Arc::default(),
    };
    let settling = guard.as_ref().map(Guard::settling);
    let watch = Watch { observer, settling, ..Watch::default() };
    workspace.attach().map_err(KeeperError::step("attaching the workspace"))?;
    Ok(Prepared { mirror: parts.mirror, base, workspace, contents, guard, watch })
}

fn mount_guard(
    parts: &Parts<'_>,
    workspace: &Workspace,
    contents: &Arc<Contents>,
) -> Result<Guard, KeeperError> {
    let mode = match workspace.mediation() {
        Mediation::Observed { .. } => GuardMode::Paths,
        Mediation::Strict { .. } => GuardMode::Strict,
    };
    let config = GuardConfig {
        backing: duplicate(workspace.clean())?,
        rules: parts.rules.clone(),
        mode,
        contents: contents.clone(),
        sink: parts.recorder.clone(),
        clock: parts.clock.clone(),
        passthrough: true,
        threads: GUARD_THREADS,
        scan_links: false,
        limits: GuardLimits::default(),
    };
    Guard::mount(config, workspace.guard_point()).map_err(KeeperError::step("mounting the guard"))
}

fn observe(
    parts: &Parts<'_>,
    workspace: &Workspace,
    contents: &Arc<Contents>,
) -> Result<Arc<Mutex<Option<Observer>>>, KeeperError> {
    let alarms = Bells {
        source: GapSource::Files,
        recorder: parts.recorder.clone(),
        messages: parts.messages.clone(),
    };
    let upper = File::open(workspace.upper())
        .map_err(KeeperError::file("opening the upper layer of the workspace"))?;
    let observer = Observer::start(ObserverConfig {
        mount: workspace.clean(),
        upper: upper.as_fd(),
        contents: contents.clone(),
        sink: parts.recorder.clone(),
        alarms: Arc::new(alarms),
        clock: parts.clock.clone(),
        rules: parts.rules.clone(),
        own_pid: std::process::id(),
        backlog: BacklogLimits::default(),
    })
    .map_err(KeeperError::step("watching the workspace"))?;
    Ok(Arc::new(Mutex::new(Some(observer))))
}

/// What version each path has at the start: that of the base commit. `clean` is the root of the clean view, and `recorded` how
/// paths are spelled.
///
/// # Errors
/// If the root can't be opened.
pub fn contents(
    base: &Base,
    clean: BorrowedFd<'_>,
    recorded: Spelling<'_>,
) -> Result<Contents, KeeperError> {
    let root = readable(clean).map_err(KeeperError::file("opening the root of the workspace"))?;
    let format = match base.commit().as_str().len() {
        40 => GitHash::Sha1,
        _ => GitHash::Sha256,
    };
    let files = recorded.base(base.manifest().present());
    Ok(Contents::new(root, format, files, HashLimits::default()))
}

/// Who owns a workspace, as the host sees it.
#[must_use]
pub fn workspace_owner() -> Owner {
    let identity = Identity::default();
    Owner { uid: identity.host_uid(), gid: identity.host_gid() }
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, KeeperError> {
    fd.try_clone_to_owned().map_err(KeeperError::file("duplicating a descriptor"))
}

/// The same directory, opened for reading.
pub(super) fn readable(directory: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::Mode;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(openat(directory.as_fd(), ".", flags, Mode::empty())?)
}

fn tell(session: &Session<'_>, step: Progress) {
    match step {
        Progress::Waiting => {}
        Progress::Examining => {
            session.progress("looking through the history for what the policy denies", None, None);
        }
        Progress::Packing => session.progress("packing what the session may see", None, None),
        Progress::CheckingOut { files } => {
            session.progress("checking out", None, Some(files as u64));
        }
        Progress::Ready { reused } => {
            let text = if reused { "base checkout found" } else { "base checkout made" };
            session.progress(text, None, None);
        }
    }
}

/// The observer's alarms, on their way to the record and the main loop.
pub(super) struct Bells {
    /// The channel of the gaps.
    pub(super) source: GapSource,
    pub(super) recorder: Arc<Recorder>,
    pub(super) messages: Sender<Message>,
}

impl Alarms for Bells {
    fn gap(&self, reason: String) {
        if let Err(error) = self.recorder.gap(self.source, GapCode::FilesUnobserved, reason) {
            self.failed(&error);
        }
    }

    fn backlog(&self, high: bool) {
        // Nobody listens once the session is ending.
        let _ended = self.messages.send(Message::Backlog(self.source, high));
    }

    fn failed(&self, error: &SinkError) {
        let _ended = self.messages.send(Message::Broken(error.clone()));
    }
}
