//! Serving: over TCP, the Unix socket or both, until told to stop; then what runs is finished, in bounded time.

use std::future::Future;
use std::io;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::lifecycle::Lifecycle;
use crate::origin::Peer;

/// Where the server listens. At least one is wanted.
#[derive(Debug, Default)]
pub struct Listeners {
    /// TCP, in the clear: for loopback, or behind a proxy that terminates TLS.
    pub tcp: Option<TcpListener>,
    /// The Unix socket. Whoever makes it sets its mode: callers other than root and the server's own user need a token
    /// anyway.
    pub unix: Option<UnixListener>,
}

/// Why a server ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no listener.
    #[error("there is nothing to listen on")]
    NoListener,
    /// Accepting failed for good.
    #[error("connections can't be accepted")]
    Accept(#[from] io::Error),
    /// A task ended.
    #[error("the task that accepts connections ended")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// Serves until `shutdown` is ready. Then no connection is accepted any more, streams are ended with word to come back,
/// and calls that run are finished within `drain`; whether all were.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    listeners: Listeners,
    router: Router,
    lifecycle: Lifecycle,
    shutdown: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> Result<bool, ServeError> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let mut serving: JoinSet<io::Result<()>> = JoinSet::new();
    if let Some(listener) = listeners.tcp {
        let (service, lifecycle) = (service.clone(), lifecycle.clone());
        serving.spawn(async move {
            let drained = async move { lifecycle.drained().await };
            axum::serve(listener, service).with_graceful_shutdown(drained).await
        });
    }
    if let Some(listener) = listeners.unix {
        let (service, lifecycle) = (service, lifecycle.clone());
        serving.spawn(async move {
            let drained = async move { lifecycle.drained().await };
            axum::serve(listener, service).with_graceful_shutdown(drained).await
        });
    }
    if serving.is_empty() {
        return Err(ServeError::NoListener);
    }
    tokio::select! {
        () = shutdown => {}
        ended = serving.join_next() => {
            lifecycle.drain();
            if let Some(ended) = ended {
                ended??;
            }
        }
    }
    lifecycle.drain();
    let begun = tokio::time::Instant::now();
    let connections = async { while serving.join_next().await.is_some() {} };
    let closed = tokio::time::timeout(drain, connections).await.is_ok();
    let finished = lifecycle.finished(drain.saturating_sub(begun.elapsed())).await;
    serving.abort_all();
    if !(closed && finished) {
        tracing::warn!(?drain, "the server did not drain in time; what is left is cut off");
    }
    Ok(closed && finished)
}
