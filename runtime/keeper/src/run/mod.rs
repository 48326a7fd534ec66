//! The course of one session, from the request on disk to the sealed record.
//!
//! authorise → prepare the workspace → provision the sandbox → serve → finish. Whatever fails after the record was
//! opened is told in the record, which is then closed and sealed like any other.

mod authorize;
mod bare;
mod disk;
mod environment;
mod error;
mod finish;
mod health;
mod history;
mod patience;
mod prepare;
mod provision;
mod scratch;
mod serve;
mod signals;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use custody_model::{Clock, SessionId};
use custody_policy::PolicyVersion;
use custody_record::event::{Body, ClosingCode, GapSource, Outcome, PolicyDecided, SessionClosed};
use custody_record::{
    InstallationLog, Journal, JournalHeader, JournalOptions, Keys, Redactor, Scope, SinkError,
    Vault,
};
use custody_sandbox::Driver;

use crate::clients::Clients;
use crate::frame::{Ended, Frame, Progress};
use crate::inside;
use crate::layout::{SessionDir, StateDir};
use crate::recorder::Recorder;
use crate::redactor::redactor;
use crate::spec::SessionSpec;

pub use authorize::requested;
pub use bare::{BareWorkspace, with_bare_workspace};
pub use error::KeeperError;
pub use finish::close_refused;
pub use patience::{DEFAULT_DISK_WAIT, DiskWaits, Spent};
pub(crate) use patience::{Patience, RETRY};
pub(crate) use prepare::private_mounts;
pub use prepare::{BASE_NAME, contents, workspace_owner};
pub use scratch::DEFAULT_HASHED_OUTSIDE;

/// What a keeper is made of.
pub struct Setup<'a> {
    /// The installation.
    pub state: StateDir,
    /// The session to keep; its directory holds the request.
    pub session: SessionId,
    /// What makes the sandbox.
    pub driver: &'a dyn Driver,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The keys of what is sealed.
    pub vault: Arc<Vault>,
    /// How long it waits for a disk at its end.
    pub waits: DiskWaits,
    /// The largest file outside of the workspace whose content is hashed, in bytes.
    pub hashed_outside: u64,
}

/// What the main loop is told, by all other threads.
pub(crate) enum Message {
    /// A client sent something.
    Client(Frame),
    /// Init said something.
    Inside(inside::Event),
    /// The connection to init broke.
    InsideLost(String),
    /// The record can't be written.
    Broken(SinkError),
    /// The record can't be written now; why, and what to do.
    Degraded(String),
    /// It can again.
    Restored,
    /// The observer's backlog is too long, or short again.
    Backlog(GapSource, bool),
    /// The session wrote more than it may.
    DiskFull(u64),
    /// This process got a signal that asks it to end.
    Terminated(i32),
}

/// How long a command waits for somebody who said that they attach at once.
const ATTACH_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// What all steps of one session share.
pub(crate) struct Session<'a> {
    pub(crate) setup: Setup<'a>,
    pub(crate) dir: SessionDir,
    pub(crate) spec: SessionSpec,
    pub(crate) policy: PolicyVersion,
    pub(crate) keys: Keys,
    pub(crate) log: InstallationLog,
    pub(crate) journal: Arc<Journal>,
    pub(crate) redactor: Arc<Redactor>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) clients: Clients,
    pub(crate) sender: Sender<Message>,
    pub(crate) messages: Receiver<Message>,
    /// For the end of the record.
    pub(crate) ending: Arc<Patience>,
}

impl Session<'_> {
    pub(crate) fn progress(&self, step: &str, done: Option<u64>, total: Option<u64>) {
        self.clients.send(&Frame::Progress(Progress { step: step.to_owned(), done, total }));
    }
}

/// Keeps one session from its request to its seal. Call it from a process of its own, before it has any other thread:
/// the mount namespace is made private here. Writes a line `ready` to standard output once clients can attach.
///
/// # Errors
/// [`KeeperError`] if there is no record in which the failure could be told.
pub fn run(setup: Setup<'_>) -> Result<Ended, KeeperError> {
    prepare::private_mounts().map_err(KeeperError::step("making the mounts private"))?;
    let dir = setup.state.session(setup.session);
    let _lock = take_lock(&dir)?;
    let spec = read_spec(&setup.state, setup.session, &setup.vault)?;
    let policy = read_policy(&dir, &spec)?;
    let keys = Keys::open(&setup.state.keys()).map_err(KeeperError::step("opening the keys"))?;
    let log = InstallationLog::open(&setup.state.log(), &keys)
        .map_err(KeeperError::step("opening the installation log"))?;
    // What could not be told to have happened must not begin.
    log.check().map_err(KeeperError::step("looking at the installation log"))?;
    let header = JournalHeader {
        session: spec.id,
        policy: policy.digest(),
        on_behalf_of: Some(spec.requester.clone()),
    };
    mark_begun(&dir)?;
    let journal = Journal::create(&dir.record(), header, JournalOptions::default())
        .map_err(KeeperError::step("opening the journal"))?;
    let key = setup
        .vault
        .make(Scope::Session(spec.id))
        .map_err(KeeperError::step("opening the session's key"))?;
    let redactor = redactor(&spec, &policy, &key)
        .map_err(KeeperError::step("reading what is to be redacted"))?;
    let redactor = Arc::new(redactor);
    let journal = Arc::new(journal.with_key(key).with_redactor(redactor.clone()));
    let (sender, messages) = channel();
    health::watch(&journal, setup.clock.clone(), sender.clone());
    signals::forward(sender.clone()).map_err(KeeperError::file("catching signals"))?;
    let clients = attach(&dir, &sender)?;
    let recorder = Arc::new(Recorder::new(journal.clone(), setup.clock.clone()));
    let ending = Arc::new(Patience::new("disk.end_wait", setup.waits.end));
    let session = Session {
        setup,
        dir,
        spec,
        policy,
        keys,
        log,
        journal,
        redactor,
        recorder,
        clients,
        sender,
        messages,
        ending,
    };
    match course(&session) {
        Ok(Finished { ended, keep }) => {
            session.clients.end(Frame::Ended(ended.clone()));
            finish::clean_up(&session.dir, keep);
            Ok(ended)
        }
        Err(error) => {
            // Everything stays as it is: whoever finds the record closes it.
            let gave_up = matches!(error, KeeperError::Disk { .. });
            if gave_up {
                finish::leave_word(&session.dir);
            }
            let reason = error.chain();
            tracing::error!(error = reason, "the keeper ends before its record is closed");
            let code = match gave_up {
                true => Some(ClosingCode::KeeperGaveUp),
                false => Some(ClosingCode::KeeperDied),
            };
            let outcome = Outcome::Interrupted;
            let ended = Ended { outcome, code, limit: None, reason, exit: None };
            session.clients.end(Frame::Ended(ended));
            Err(error)
        }
    }
}

/// How a session ended whose record is closed.
pub(crate) struct Finished {
    ended: Ended,
    /// What it wrote is nowhere else.
    keep: bool,
}

/// Everything that can still be told in the record.
///
/// # Errors
/// If the record can't be closed, or not be sealed.
fn course(session: &Session<'_>) -> Result<Finished, KeeperError> {
    let result = authorize::authorize(session).and_then(|authorization| {
        let workspace = prepare::prepare(session, &authorization)?;
        if session.spec.attach {
            session.clients.wait_for_one(ATTACH_PATIENCE);
        }
        let running = provision::provision(session, &authorization, &workspace);
        let served = match running {
            Ok(running) => serve::serve(session, running),
            Err(error) => serve::Served::failed(&error),
        };
        finish::finish(session, &authorization, workspace, served)
    });
    result.or_else(|error| {
        let chain = error.chain();
        tracing::error!(error = %chain, "the session failed");
        let (outcome, code) = match &error {
            KeeperError::Refused { .. } => (Outcome::Refused, ClosingCode::Refused),
            KeeperError::NotRun { .. } => (Outcome::Failed, ClosingCode::CommandNotRun),
            KeeperError::File { .. } | KeeperError::Request { .. } | KeeperError::Step { .. } => {
                (Outcome::Failed, ClosingCode::StepFailed)
            }
            KeeperError::Record(_) => (Outcome::Failed, ClosingCode::RecordUnwritable),
            KeeperError::Disk { .. } => return Err(error),
        };
        let ended = Ended { outcome, code: Some(code), limit: None, reason: chain, exit: None };
        finish::close(session, &ended, finish::nothing_covered())?;
        Ok(Finished { ended, keep: false })
    })
}

fn attach(dir: &SessionDir, sender: &Sender<Message>) -> Result<Clients, KeeperError> {
    let (requests, incoming) = channel();
    let clients = Clients::listen(&dir.attach_socket(), requests)
        .map_err(KeeperError::file("listening for clients"))?;
    let sender = sender.clone();
    std::thread::Builder::new()
        .name("requests".into())
        .spawn(move || {
            for frame in incoming {
                if sender.send(Message::Client(frame)).is_err() {
                    return;
                }
            }
        })
        .map_err(KeeperError::file("starting a thread"))?;
    let mut out = io::stdout();
    // Nobody may listen: the session goes on all the same.
    let _closed = writeln!(out, "{READY}").and_then(|()| out.flush());
    Ok(clients)
}

/// What the keeper writes to its standard output once clients can attach.
pub const READY: &str = "ready";

fn take_lock(dir: &SessionDir) -> Result<std::fs::File, KeeperError> {
    let path = dir.lock();
    let failed = || KeeperError::file(format!("locking {}", path.display()));
    std::fs::create_dir_all(dir.run()).map_err(failed())?;
    let file = std::fs::File::create(&path).map_err(failed())?;
    // Made while there is room: at a full disk a name can be changed, and nothing be made.
    std::fs::write(dir.waiting(), "").map_err(failed())?;
    file.try_lock().map_err(|e| failed()(e.into()))?;
    Ok(file)
}

/// Leaves the mark that a keeper began this session: one does at most. It becomes durable with the name of the record's
/// directory, which the journal makes so before anything is recorded.
fn mark_begun(dir: &SessionDir) -> Result<(), KeeperError> {
    let path = dir.begun();
    std::fs::File::create_new(&path).map(drop).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeeperError::Request {
            what: "directory",
            source: "a keeper began this session before: it is never begun again".into(),
        },
        _ => KeeperError::file(format!("making {}", path.display()))(source),
    })
}

fn read_spec(
    state: &StateDir,
    session: SessionId,
    vault: &Vault,
) -> Result<SessionSpec, KeeperError> {
    SessionSpec::read(state, session, vault)
        .map_err(|source| KeeperError::Request { what: "request", source: source.into() })
}

fn read_policy(dir: &SessionDir, spec: &SessionSpec) -> Result<PolicyVersion, KeeperError> {
    let path = dir.policy();
    let text = std::fs::read_to_string(&path)
        .map_err(KeeperError::file(format!("reading {}", path.display())))?;
    let policy = PolicyVersion::parse(&text)
        .map_err(|e| KeeperError::Request { what: "policy.yaml", source: e.into() })?;
    if policy.digest() != spec.policy {
        let reason =
            format!("it is version {}, and {} was evaluated", policy.digest(), spec.policy);
        return Err(KeeperError::Request { what: "policy.yaml", source: reason.into() });
    }
    Ok(policy)
}

/// The closing event of a session, with the counts that the journal has.
pub(crate) fn closing(
    journal: &Journal,
    ended: &Ended,
    coverage: std::collections::BTreeMap<String, custody_record::event::Coverage>,
) -> Body {
    let mut counts = journal.counts();
    *counts.entry("session.closed".to_owned()).or_default() += 1;
    Body::SessionClosed(SessionClosed {
        outcome: ended.outcome,
        code: ended.code,
        limit: ended.limit,
        reason: ended.reason.clone(),
        exit: ended.exit,
        counts,
        coverage,
    })
}

/// The event that tells a refusal.
pub(crate) fn refusal(
    rule: String,
    reason: String,
    decision: custody_record::event::Decision,
) -> Body {
    Body::PolicyDecided(PolicyDecided {
        action: "session.request".to_owned(),
        decision,
        rule,
        reason,
    })
}
