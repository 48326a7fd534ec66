//! The orchestrator: what all verbs share, and the owner of every background task.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use custody_control::ControlPlane;
use custody_keeper::layout::StateDir;
use custody_model::error::chain;
use custody_model::{SessionId, Timestamp, UserName};
use custody_record::{InstallationLog, Keys};
use custody_sandbox::Driver;
use custody_store::{Holder, LeaseRow, Room, SessionRow};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::SessionError;
use crate::start::KeeperProgram;
use crate::steps::Faults;
use crate::sweep::Sweeping;

/// How many sessions may run and wait, and for how long leases are taken.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many may run at one time.
    pub room: Room,
    /// How many of one user may wait.
    pub waiting_per_user: u64,
    /// How many may wait in all.
    pub waiting: u64,
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// How often a living session's record is looked at while nothing comes, at most.
    pub poll: Duration,
    /// How sessions are swept whose retention class has ended.
    pub sweep: Sweeping,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            room: Room { running: 20, per_user: 20, per_project: 20 },
            waiting_per_user: 500,
            waiting: 5000,
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(200),
            sweep: Sweeping::default(),
        }
    }
}

/// What an orchestrator is made of.
pub struct Parts {
    /// The installation.
    pub state: StateDir,
    /// The control plane.
    pub plane: Arc<ControlPlane>,
    /// How keepers are started.
    pub keeper: KeeperProgram,
    /// What made the sandboxes whose leftovers are removed.
    pub driver: Arc<dyn Driver>,
    /// This instance.
    pub holder: Holder,
    /// Limits.
    pub options: Options,
    /// What happens at steps beside the steps.
    pub faults: Arc<dyn Faults>,
}

/// A living session that this instance looks after.
#[derive(Clone)]
pub(crate) struct Followed {
    /// Number of its events so far; closed when nothing follows.
    pub(crate) size: watch::Receiver<u64>,
    /// Look at the record now.
    pub(crate) nudge: Arc<Notify>,
}

/// What requests under the same name of the same user take turns by.
pub(crate) type Turns = HashMap<(UserName, String), Weak<tokio::sync::Mutex<()>>>;

/// The orchestrator of one installation, as one process has it.
pub struct Orchestrator {
    parts: Parts,
    /// Requests under a client's name: one at a time for each name.
    pub(crate) named: Mutex<Turns>,
    /// Who erases, holds or releases: one at a time, so that a hold is before an erasure or after it.
    pub(crate) holding: tokio::sync::Mutex<()>,
    /// One pass of the sweeper at a time.
    pub(crate) sweeping: tokio::sync::Mutex<()>,
    /// Sessions that a task of this instance is launching.
    launching: Mutex<HashSet<SessionId>>,
    pub(crate) followed: Mutex<HashMap<SessionId, Followed>>,
    pub(crate) dispatch: Notify,
    pub(crate) tasks: TaskTracker,
    pub(crate) ending: CancellationToken,
}

impl Orchestrator {
    /// From its parts. Nothing runs yet: see [`Orchestrator::start`].
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            named: Mutex::default(),
            holding: tokio::sync::Mutex::default(),
            sweeping: tokio::sync::Mutex::default(),
            launching: Mutex::default(),
            followed: Mutex::default(),
            dispatch: Notify::new(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        })
    }

    /// Adopts living keepers, closes the records of dead ones, and begins to dispatch the line. The tasks end with
    /// [`Orchestrator::shut_down`].
    ///
    /// # Errors
    /// If the sessions can't be looked after.
    pub async fn start(self: &Arc<Self>) -> Result<(), SessionError> {
        self.plane().follow().await?;
        self.reconcile().await?;
        self.complete_erasures().await?;
        let this = self.clone();
        self.tasks.spawn(async move { this.keep_leases().await });
        let this = self.clone();
        self.tasks.spawn(async move { this.keep_dispatching().await });
        let this = self.clone();
        self.tasks.spawn(async move { this.keep_the_log().await });
        Ok(())
    }

    /// Whether the installation log can be appended to. Without it nothing begins: no record could be sealed.
    ///
    /// # Errors
    /// [`SessionError::Log`]: why not, and what to do.
    pub async fn check_log(&self) -> Result<(), SessionError> {
        let state = self.state().clone();
        let checked = tokio::task::spawn_blocking(move || {
            let keys = Keys::open(&state.keys())?;
            Ok(InstallationLog::open(&state.log(), &keys)?.check()?)
        });
        checked.await?
    }

    /// Takes no new sessions, ends all tasks and gives the leases back. Sessions go on: their keepers are processes of
    /// their own.
    pub async fn shut_down(&self) {
        self.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.plane().integrate().await {
            tracing::error!(error = %chain(&error), "the control log could not be brought into tiles");
        }
    }

    /// The installation's directory.
    #[must_use]
    pub fn state(&self) -> &StateDir {
        &self.parts.state
    }

    /// The control plane.
    #[must_use]
    pub fn plane(&self) -> &Arc<ControlPlane> {
        &self.parts.plane
    }

    /// Limits.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.parts.options
    }

    /// This instance.
    #[must_use]
    pub fn holder(&self) -> &Holder {
        &self.parts.holder
    }

    pub(crate) fn keeper(&self) -> &KeeperProgram {
        &self.parts.keeper
    }

    pub(crate) fn driver(&self) -> &Arc<dyn Driver> {
        &self.parts.driver
    }

    pub(crate) fn faults(&self) -> &dyn Faults {
        &*self.parts.faults
    }

    /// The directory of a session's record.
    #[must_use]
    pub fn record(&self, session: SessionId) -> PathBuf {
        self.state().session(session).record()
    }

    /// Refuses new work while the server drains.
    pub(crate) fn open(&self) -> Result<(), SessionError> {
        if self.ending.is_cancelled() { Err(SessionError::Draining) } else { Ok(()) }
    }

    /// The session's row.
    ///
    /// # Errors
    /// [`SessionError::Unknown`].
    pub async fn row(&self, session: SessionId) -> Result<SessionRow, SessionError> {
        self.plane().store().session(session).await?.ok_or(SessionError::Unknown(session))
    }

    pub(crate) fn followed(&self, session: SessionId) -> Option<Followed> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).get(&session).cloned()
    }

    pub(crate) fn is_launching(&self, session: SessionId) -> bool {
        self.launching.lock().unwrap_or_else(PoisonError::into_inner).contains(&session)
    }

    pub(crate) fn begin_launch(&self, session: SessionId) {
        self.launching.lock().unwrap_or_else(PoisonError::into_inner).insert(session);
    }

    pub(crate) fn end_launch(&self, session: SessionId) {
        self.launching.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }

    /// Tells the number of events of a session that this instance looks after, as it grows; `None` if it does not.
    #[must_use]
    pub fn growth(&self, session: SessionId) -> Option<watch::Receiver<u64>> {
        self.followed(session).map(|followed| followed.size)
    }

    /// Looks at a session's record now, and waits until the session is over if it is about to be.
    pub async fn settle(&self, session: SessionId, patience: Duration) {
        let Some(mut followed) = self.followed(session) else { return };
        followed.nudge.notify_one();
        let over = async { while followed.size.changed().await.is_ok() {} };
        let _still_running = tokio::time::timeout(patience, over).await;
    }

    pub(crate) fn lease_of(&self, row: &SessionRow, now: Timestamp) -> LeaseRow {
        let lasts = i64::try_from(self.options().lease.as_micros()).unwrap_or(i64::MAX);
        LeaseRow {
            session: row.id,
            holder: self.holder().clone(),
            until: Timestamp::from_micros(now.as_micros().saturating_add(lasts)),
            user: row.request.requester.clone(),
            project: row.project.clone(),
        }
    }

    /// Signs what was appended to the control log about once a second, and lets the store follow what other processes
    /// appended.
    async fn keep_the_log(&self) {
        const PERIOD: Duration = Duration::from_secs(1);
        while self.sleep(PERIOD).await {
            if let Err(error) = self.plane().follow().await {
                tracing::error!(error = %chain(&error), "the store can't follow the control log");
            }
            if let Err(error) = self.plane().integrate().await {
                tracing::error!(error = %chain(&error), "the control log can't be brought into tiles");
            }
        }
    }

    /// Waits; `false` if the process is ending.
    pub(crate) async fn sleep(&self, period: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(period) => true,
            () = self.ending.cancelled() => false,
        }
    }
}
