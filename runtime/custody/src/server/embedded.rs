//! The server inside of a command: the same router on a private socket, with the same store and logs as every other one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use custody_api_server::{Lifecycle, Limits, Listeners, ServeError, router, serve};
use custody_model::{ErrorCode, SessionId, UserName};
use custody_session::{NoFaults, Orchestrator};
use tokio::task::JoinHandle;

use super::first_start::default_project;
use super::locks::IndexLock;
use super::parts::{Kind, assemble, limits};
use super::sockets::{Socket, remove_left_over};
use crate::caller;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// How long what still runs at a command's end may go on. The command has its answers by then.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a call may take: nobody else waits for this server.
const CALL_TIME: Duration = Duration::from_secs(600);

/// A server inside of this process.
pub struct Embedded {
    socket: Socket,
    lifecycle: Lifecycle,
    orchestrator: Arc<Orchestrator>,
    serving: JoinHandle<Result<bool, ServeError>>,
    _lock: IndexLock,
}

impl Embedded {
    /// Begins to serve.
    pub async fn start(wire: &Wire) -> Result<Self, Failure> {
        let config = wire.config()?;
        let run = wire.state.path().join("run");
        make_state(wire.state.path())?;
        let lock = IndexLock::shared(&wire.state)?;
        let user = caller::user()?;
        let operator = move |uid: u32| -> UserName {
            let own = nix::unistd::Uid::current().as_raw() == uid;
            if own { user.clone() } else { caller::user_of(uid) }
        };
        let kind = Kind {
            // Only this process calls.
            limits: Limits {
                requests_per_minute: u32::MAX,
                burst: u32::MAX,
                request_time: CALL_TIME,
                ..limits(&config.settings)
            },
            operator: Arc::new(operator),
            is_own_program: true,
            faults: Arc::new(NoFaults),
        };
        let whole = assemble(wire, &config.settings, kind).await?;
        let orchestrator = whole.orchestrator.clone();
        let begun = orchestrator.start().await;
        let begun = match begun {
            Ok(()) => orchestrator.close_dead(closing).await,
            Err(error) => Err(error),
        };
        begun.explain(ErrorCode::Io, "the sessions can't be looked after").map_err(|failure| {
            failure.hint(
                "see that the state directory is whole and can be written; `custody fsck` looks for damage",
            )
        })?;
        default_project(orchestrator.plane()).await?;
        remove_left_over(&run);
        let path = run.join(format!("cli-{}.sock", std::process::id()));
        let (socket, listener) = Socket::listen(&path)
            .explain(ErrorCode::Io, format!("{} can't be listened at", path.display()))?;
        let lifecycle = whole.lifecycle.clone();
        let listeners = Listeners { tcp: None, unix: Some(listener) };
        let told = lifecycle.clone();
        let shutdown = async move { told.drained().await };
        let serving =
            tokio::spawn(serve(listeners, router(whole), lifecycle.clone(), shutdown, DRAIN));
        Ok(Self { socket, lifecycle, orchestrator, serving, _lock: lock })
    }

    /// Where it listens, as this process reaches it.
    pub fn socket(&self) -> &Path {
        self.socket.reach()
    }

    /// Ends it. Sessions go on.
    pub async fn end(self) {
        self.lifecycle.drain();
        match self.serving.await {
            Ok(Ok(_drained)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the server inside of this command failed"),
            Err(error) => tracing::error!(%error, "the server inside of this command broke off"),
        }
        self.orchestrator.shut_down().await;
    }
}

/// It may take a while: the workspace is compared with the record.
fn closing(session: SessionId) {
    eprintln!("custody: the keeper of session {session} died; its record is being closed");
}

/// The state directory, which nobody else may look into.
pub fn make_state(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        let failure =
            Failure::of(ErrorCode::Io, format!("{} can't be made", path.display()), error);
        failure.hint("be root, or name a directory that you can write with --state")
    })
}
