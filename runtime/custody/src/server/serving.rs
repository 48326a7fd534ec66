//! The server of `custody serve`: from its parts to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use custody_api_server::{Listeners, router, serve};
use custody_control::Author;
use custody_model::ErrorCode;
use custody_record::control::{ControlBody, ServerStarted};
use custody_session::this_process;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::embedded::make_state;
use super::faults::KillAt;
use super::first_start::{self, FirstToken, default_project};
use super::locks::{IndexLock, ServeLock};
use super::parts::{Kind, assemble, limits};
use super::sockets::Socket;
use super::{keys, notify, pushes, sweeping, witnessing};
use crate::caller;
use crate::cli::FaultAt;
use crate::config::Settings;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// What is known once a server listens.
pub struct Serving {
    /// The address and port that it listens on.
    pub address: SocketAddr,
    /// The first admin's token, at the first start.
    pub first: Option<FirstToken>,
}

/// Serves until a signal asks it to end; `ready` is told once it listens. Whether all that ran was finished.
pub async fn run(
    wire: &Wire,
    settings: &Settings,
    listen: SocketAddr,
    faults: Vec<FaultAt>,
    ready: impl FnOnce(Serving) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    make_state(wire.state.path())?;
    let _serve = ServeLock::take(&wire.state)?;
    let _index = IndexLock::shared(&wire.state)?;
    let signals = "signals can't be caught";
    let mut terminate = signal(SignalKind::terminate()).explain(ErrorCode::Io, signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).explain(ErrorCode::Io, signals)?;
    let kind = Kind {
        limits: limits(settings),
        operator: Arc::new(caller::user_of),
        is_own_program: false,
        faults: Arc::new(KillAt(faults)),
    };
    let whole = assemble(wire, settings, kind).await?;
    let (orchestrator, identity) = (whole.orchestrator.clone(), whole.identity.clone());
    let plane = orchestrator.plane().clone();
    let tcp = TcpListener::bind(listen)
        .await
        .explain(ErrorCode::Io, format!("{listen} can't be listened at"))
        .map_err(|failure| failure.hint("choose another one with --listen or server.listen"))?;
    let address = tcp.local_addr().explain(ErrorCode::Io, "the socket has no address")?;
    let path = &settings.server.socket;
    let (_socket, unix) = Socket::listen(path)
        .explain(ErrorCode::Io, format!("{} can't be listened at", path.display()))?;
    let started = ServerStarted {
        version: whole.build.version.clone(),
        instance: this_process().as_str().to_owned(),
    };
    plane
        .record(&Author::server(), vec![ControlBody::ServerStarted(started)])
        .await
        .explain(ErrorCode::RecordUnwritable, "the server's start can't be put on record")?;
    let unlogged = "the installation log can't be appended to: no server starts on it";
    orchestrator.check_log().await.explain(ErrorCode::RecordUnwritable, unlogged)?;
    orchestrator.start().await.explain(ErrorCode::Io, "the sessions can't be looked after")?;
    default_project(&plane).await?;
    let first = first_start::admin(&plane, &identity, whole.limits.service_lifetime_max).await?;
    keys::look_after(&whole.lifecycle, &identity, &plane, &settings.identity);
    pushes::begin(wire, settings, &whole).await?;
    sweeping::begin(&whole, &settings.retention);
    let lifecycle = whole.lifecycle.clone();
    witnessing::begin(&lifecycle, &wire.state, &whole.transparency, &plane)?;
    ready(Serving { address, first })?;
    let systemd = wire.notify_socket.clone();
    notify::tell(systemd.as_deref(), "READY=1");
    let listeners = Listeners { tcp: Some(tcp), unix: Some(unix) };
    let shutdown = async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("the server drains");
        notify::tell(systemd.as_deref(), "STOPPING=1");
        // Who asks twice does not want to wait.
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            tracing::warn!("the server ends at once");
            let _gone =
                nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        });
    };
    let drain = Duration::from_secs(settings.server.drain.0);
    let served = serve(listeners, router(whole), lifecycle, shutdown, drain)
        .await
        .explain(ErrorCode::Io, "the server failed");
    orchestrator.shut_down().await;
    served
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
