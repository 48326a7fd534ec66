//! Launch: a session that waits gets room, a lease and a keeper.

use std::collections::HashSet;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use custody_control::Author;
use custody_keeper::frame::{Frame, StopRequest};
use custody_model::error::chain;
use custody_model::state::session::SessionState;
use custody_model::{SessionId, UserName};
use custody_record::control::{ControlBody, SessionLaunched, SessionReason};
use custody_store::{Room, SessionRow, Taken};

use crate::approve::approvals;
use crate::error::SessionError;
use crate::lost::{Beginning, beginning, first_beginning};
use crate::orchestrator::Orchestrator;
use crate::queue::{self, Place};
use crate::reconcile::has_record;
use crate::steps::{self, Step, step};

/// How often the line is looked at when nobody says that something changed.
const PERIOD: Duration = Duration::from_millis(500);

/// What the steps share.
struct Context {
    row: SessionRow,
    taken: Option<Taken>,
    child: Option<Child>,
    /// This launch put it on record.
    first: bool,
    /// A keeper was started by this launch, and came to nothing.
    launched: bool,
}

const STEPS: &[Step<Context>] = &[
    step!("lease", lease, give_back),
    step!("record", record, abandon),
    step!("approvals", write_approvals),
    step!("keeper", start_keeper, end_keeper),
    step!("follow", follow),
];

/// See [`steps::every_step`].
pub(crate) fn step_names() -> Vec<String> {
    steps::names("launch", STEPS)
}

impl Orchestrator {
    /// Gives room to those who wait, until the process ends.
    pub(crate) async fn keep_dispatching(self: &Arc<Self>) {
        loop {
            tokio::select! {
                () = self.dispatch.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
                () = self.ending.cancelled() => return,
            }
            if let Err(error) = self.dispatch_line().await {
                tracing::error!(error = %chain(&error), "the line can't be looked at");
            }
        }
    }

    async fn dispatch_line(self: &Arc<Self>) -> Result<(), SessionError> {
        let waiting = self.plane().store().sessions_in(&["queued"]).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        let leases = self.plane().store().leases().await?;
        let held: HashSet<SessionId> = leases.iter().map(|lease| lease.session).collect();
        let mut running = leases.len() as u64;
        for id in queue::order(&waiting, &leases) {
            if running >= self.options().room.running {
                break;
            }
            let Some(row) = waiting.iter().find(|row| row.id == id) else { continue };
            // One that somebody is launching just now, or was when he died: then the reconciler takes it up.
            if held.contains(&id) {
                continue;
            }
            running += 1;
            let (this, row) = (self.clone(), row.clone());
            // The lease is taken before the next is looked at, so that each counts those before it.
            let mut context =
                Context { row, taken: None, child: None, first: false, launched: false };
            match lease(&this, &mut context).await {
                Ok(()) if context.taken == Some(Taken::Taken) => {
                    self.begin_launch(id);
                    self.tasks.spawn(async move { this.launch(context).await });
                }
                Ok(()) => running -= 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn launch(self: &Arc<Self>, mut context: Context) {
        let session = context.row.id;
        let launched = steps::run(self, "launch", STEPS, &mut context).await;
        if let Err(error) = &launched {
            tracing::error!(%session, error = %chain(error), "the session could not be launched");
            // It was taken before the first step: while it waits, the next look at the line tries again.
            self.release(session).await;
        }
        self.end_launch(session);
        // What failed is not tried again at once: nothing is known to have changed.
        if launched.is_ok() {
            self.dispatch.notify_one();
        }
    }

    /// Goes on with a session whose launch is on record and whose keeper never came to be.
    pub(crate) async fn launch_again(self: &Arc<Self>, row: SessionRow) {
        self.launch(Context { row, taken: None, child: None, first: false, launched: false }).await;
    }

    /// Where a session stands in the line; `None` if it does not wait for room.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn place(&self, session: SessionId) -> Result<Option<Place>, SessionError> {
        let waiting = self.plane().store().sessions_in(&["queued"]).await?;
        let leases = self.plane().store().leases().await?;
        Ok(queue::place(session, &queue::order(&waiting, &leases)))
    }
}

async fn lease(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let now = orchestrator.plane().now();
    let lease = orchestrator.lease_of(&context.row, now);
    let room = match context.row.state {
        SessionState::Queued { .. } => orchestrator.options().room,
        SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. }
        | SessionState::Sealed { .. }
        | SessionState::Refused { .. }
        | SessionState::Failed { .. }
        | SessionState::Interrupted { .. }
        | SessionState::Lost { .. } => Room::ENDLESS,
    };
    context.taken = Some(orchestrator.plane().store().lease(&lease, now, &room).await?);
    Ok(())
}

async fn give_back(orchestrator: &Arc<Orchestrator>, context: &mut Context) {
    orchestrator.release(context.row.id).await;
}

fn approvers(row: &SessionRow) -> Vec<UserName> {
    row.approvals.iter().map(|approval| approval.approver.clone()).collect()
}

async fn record(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let row = orchestrator.row(context.row.id).await?;
    match row.state {
        SessionState::Queued { .. } => {
            let (session, approvers) = (row.id, approvers(&row));
            let body = ControlBody::SessionLaunched(SessionLaunched { session, approvers });
            orchestrator.plane().record(&Author::server(), vec![body]).await?;
            context.row = orchestrator.row(session).await?;
            context.first = true;
            Ok(())
        }
        SessionState::Provisioning { .. } => {
            context.row = row;
            Ok(())
        }
        SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. }
        | SessionState::Sealed { .. }
        | SessionState::Refused { .. }
        | SessionState::Failed { .. }
        | SessionState::Interrupted { .. }
        | SessionState::Lost { .. } => {
            let reason = "it does not wait for room any more".to_owned();
            Err(SessionError::Conflict { session: row.id, state: row.state.name(), reason })
        }
    }
}

/// A keeper that does not come to be fails its session, for everybody to see why.
async fn abandon(orchestrator: &Arc<Orchestrator>, context: &mut Context) {
    let session = context.row.id;
    if has_record(&orchestrator.state().session(session)) {
        // It has a record, and that says how it ended.
        return;
    }
    if !context.launched {
        // No keeper of this launch: it may be that one ran before.
        let state = orchestrator.state().clone();
        let looked = tokio::task::spawn_blocking(move || beginning(&state, session)).await;
        if let Ok(Ok(Beginning::Lost(reason))) = looked {
            if let Err(error) = orchestrator.lose(session, reason).await {
                tracing::error!(%session, error = %chain(&error), "that a session is lost can't be put on record");
            }
            return;
        }
    }
    let reason =
        "its keeper could not be started: `keeper.log` in its directory, and the log of the program that started it, say why"
            .to_owned();
    let body = ControlBody::SessionAbandoned(SessionReason { session, reason });
    if let Err(error) = orchestrator.plane().record(&Author::server(), vec![body]).await {
        tracing::error!(%session, error = %chain(&error), "a session that could not be launched can't be failed");
    }
}

async fn write_approvals(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    if context.row.approvals.is_empty() {
        return Ok(());
    }
    let path = orchestrator.state().session(context.row.id).approvals();
    let json = serde_json::to_vec_pretty(&approvals(&context.row)).map_err(std::io::Error::other);
    let doing = || SessionError::file("the session's approvals can't be written");
    let json = json.map_err(doing())?;
    tokio::task::spawn_blocking(move || crate::create::durable(&[(path, &json)]))
        .await?
        .map_err(doing())
}

async fn start_keeper(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let (state, session) = (orchestrator.state().clone(), context.row.id);
    let keeper = orchestrator.keeper().clone();
    let looked = if context.first { first_beginning } else { beginning };
    let child = tokio::task::spawn_blocking(move || {
        match looked(&state, session)? {
            // Another instance, or this step once before, started one.
            Beginning::Begun => return Ok(None),
            Beginning::Lost(reason) => {
                return Err(SessionError::Conflict { session, state: "lost", reason });
            }
            Beginning::Never => {}
        }
        match crate::start(&state, session, &keeper) {
            Ok(child) => Ok(Some(child)),
            Err(_) if beginning(&state, session)? == Beginning::Begun => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    let started = child.await?;
    context.launched = matches!(started, Err(SessionError::Start(_)));
    if let Some(child) = started? {
        context.child = Some(child);
    }
    Ok(())
}

/// A keeper that nobody would follow is ended, and its record indexed as it is.
async fn end_keeper(orchestrator: &Arc<Orchestrator>, context: &mut Context) {
    let session = context.row.id;
    let reason = "the program that started it could not look after it".to_owned();
    let stop = Frame::Stop(StopRequest { reason });
    if let Err(error) = orchestrator.tell(session, stop).await {
        tracing::error!(%session, error = %chain(&error), "a keeper that nobody follows can't be asked to end");
    }
    let child = context.child.take();
    let ended = tokio::task::spawn_blocking(move || child.map(|mut child| child.wait()));
    if let Ok(Some(Err(error))) = ended.await {
        tracing::warn!(%session, error = %chain(&error), "a keeper can't be waited for");
    }
    let record = orchestrator.record(session);
    if let Err(error) = orchestrator.plane().index(session, record).await {
        tracing::error!(%session, error = %chain(&error), "the record of an ended keeper can't be indexed");
    }
}

async fn follow(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    orchestrator.follow(&context.row, context.child.take());
    Ok(())
}
