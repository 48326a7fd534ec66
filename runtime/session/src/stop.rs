//! Stop, signal: what somebody asks of a session that waits or runs.

use std::sync::Arc;
use std::time::Duration;

use custody_control::Author;
use custody_keeper::frame::{Frame, SignalRequest, StopRequest};
use custody_model::SessionId;
use custody_model::state::session::SessionState;
use custody_record::control::{ControlBody, SessionReason, SessionSignalled};
use custody_store::SessionRow;

use crate::attach::{AttachError, attach};
use crate::error::SessionError;
use crate::orchestrator::Orchestrator;
use crate::steps::{self, Step, step};

/// How long a keeper that is just being started is waited for.
const KEEPER_PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked for.
const KEEPER_POLL: Duration = Duration::from_millis(20);

/// What the steps share.
struct Context {
    author: Author,
    session: SessionId,
    reason: String,
    signal: i32,
}

const CANCEL: &[Step<Context>] = &[step!("record", cancel), step!("refuse", refuse)];
const STOP: &[Step<Context>] = &[step!("record", record_stop), step!("ask", ask_to_stop)];
const SIGNAL: &[Step<Context>] = &[step!("record", record_signal), step!("send", send_signal)];

/// See [`steps::every_step`].
pub(crate) fn step_names() -> Vec<String> {
    [steps::names("cancel", CANCEL), steps::names("stop", STOP), steps::names("signal", SIGNAL)]
        .concat()
}

impl Orchestrator {
    /// Ends a session: one that waits is refused, one that runs is asked to stop. Its record is sealed some time later.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if it is over.
    pub async fn stop(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        reason: &str,
    ) -> Result<SessionRow, SessionError> {
        custody_control::projects::short("reason", reason)?;
        let (author, reason) = (author.clone(), reason.to_owned());
        let mut context = Context { author, session, reason, signal: 0 };
        let row = self.row(session).await?;
        if row.state.is_final() {
            let reason = "it is over already".to_owned();
            return Err(SessionError::Conflict { session, state: row.state.name(), reason });
        }
        if waits(&row.state) {
            steps::run(self, "cancel", CANCEL, &mut context).await?;
            // It may have begun to run meanwhile: then it is stopped like any other.
            let row = self.row(session).await?;
            if row.state.is_final() {
                return Ok(row);
            }
        }
        steps::run(self, "stop", STOP, &mut context).await?;
        self.row(session).await
    }

    /// Sends a signal to the command of a running session.
    ///
    /// # Errors
    /// [`SessionError::Invalid`] for no signal, [`SessionError::Conflict`] if it does not run.
    pub async fn signal(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        signal: i32,
    ) -> Result<SessionRow, SessionError> {
        if nix::sys::signal::Signal::try_from(signal).is_err() {
            let reason = format!("{signal} is no signal of Linux");
            return Err(SessionError::Invalid { field: "signal", reason });
        }
        let row = self.row(session).await?;
        // The store follows a record that grows: the command may run by now.
        let lives = matches!(
            row.state,
            SessionState::Provisioning { .. }
                | SessionState::Running { .. }
                | SessionState::Paused { .. }
        );
        if !lives {
            let reason = "only a running session gets signals".to_owned();
            return Err(SessionError::Conflict { session, state: row.state.name(), reason });
        }
        let author = author.clone();
        let mut context = Context { author, session, reason: String::new(), signal };
        steps::run(self, "signal", SIGNAL, &mut context).await?;
        self.row(session).await
    }

    /// Sends a frame to a keeper, which may be just starting.
    pub(crate) async fn tell(&self, session: SessionId, frame: Frame) -> Result<(), SessionError> {
        let deadline = tokio::time::Instant::now() + KEEPER_PATIENCE;
        loop {
            let (state, frame) = (self.state().clone(), frame.clone());
            let told = tokio::task::spawn_blocking(move || {
                let mut keeper = attach(&state, session)?;
                keeper.send(&frame).map_err(|source| AttachError::Io { session, source })
            });
            match told.await? {
                Ok(()) => return Ok(()),
                Err(AttachError::NotRunning(_)) if tokio::time::Instant::now() < deadline => {
                    if self.row(session).await?.state.is_final() {
                        return Ok(());
                    }
                    if !self.sleep(KEEPER_POLL).await {
                        return Err(SessionError::Draining);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn waits(state: &SessionState) -> bool {
    matches!(
        state,
        SessionState::Requested { .. }
            | SessionState::AwaitingApproval { .. }
            | SessionState::Queued { .. }
    )
}

async fn cancel(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    if !waits(&orchestrator.row(context.session).await?.state) {
        return Ok(());
    }
    let (session, reason) = (context.session, context.reason.clone());
    let body = ControlBody::SessionCancelled(SessionReason { session, reason });
    orchestrator.plane().record(&context.author, vec![body]).await?;
    Ok(())
}

async fn refuse(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    orchestrator.seal_refusal(context.session).await
}

async fn record_stop(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    if orchestrator.row(context.session).await?.stop.is_some() {
        return Ok(());
    }
    let (session, reason) = (context.session, context.reason.clone());
    let body = ControlBody::SessionStopRequested(SessionReason { session, reason });
    orchestrator.plane().record(&context.author, vec![body]).await?;
    Ok(())
}

async fn ask_to_stop(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let row = orchestrator.row(context.session).await?;
    let by = row.stop.as_ref().map_or("the server", |stop| stop.by.as_str());
    let reason = format!("stopped by {by}: {}", context.reason);
    orchestrator.tell(context.session, Frame::Stop(StopRequest { reason })).await
}

async fn record_signal(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let (session, signal) = (context.session, context.signal);
    let body = ControlBody::SessionSignalled(SessionSignalled { session, signal });
    orchestrator.plane().record(&context.author, vec![body]).await?;
    Ok(())
}

async fn send_signal(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let signal = context.signal;
    orchestrator.tell(context.session, Frame::Signal(SignalRequest { signal })).await
}
