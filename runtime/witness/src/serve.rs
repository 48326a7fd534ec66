//! A witness's two calls: `add-checkpoint`, and the newest head for whoever follows.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use custody_model::Clock;
use custody_model::error::chain;
use custody_record::witness::{Ledger, MAX_REQUEST_BYTES, Refusal};
use tokio::net::TcpListener;

/// How long a request's body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);

const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Clone)]
struct Witness {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

/// The witness's calls below one prefix, for submission and for monitoring.
pub fn router(ledger: Arc<Ledger>, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .route("/{origin}/checkpoint", get(newest))
        .with_state(Witness { ledger, clock })
}

/// Serves until `shutdown` is over; what is being answered then is finished.
///
/// # Errors
/// If the listener breaks.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

async fn add(State(witness): State<Witness>, body: Body) -> Response {
    let read = tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_REQUEST_BYTES)).await;
    let Ok(Ok(body)) = read else {
        return (StatusCode::BAD_REQUEST, "the body is too long, or did not come\n")
            .into_response();
    };
    let seconds = witness.clock.now().as_micros() / 1_000_000;
    let Some(time) = u64::try_from(seconds).ok().filter(|time| *time > 0) else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the clock is wrong\n").into_response();
    };
    // It is carried through even if the client goes: what is remembered is what was answered, or more.
    let added = tokio::task::spawn_blocking(move || witness.ledger.add(&body, time)).await;
    match added {
        Ok(Ok(line)) => ([(CONTENT_TYPE, TEXT)], line).into_response(),
        Ok(Err(Refusal::Conflict { size })) => {
            let size = format!("{size}\n");
            (StatusCode::CONFLICT, [(CONTENT_TYPE, "text/x.tlog.size")], size).into_response()
        }
        Ok(Err(refusal)) => refused(&refusal),
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Inconsistent(error) => {
            tracing::error!(%error, "a log does not go on from what was cosigned: it has forked");
        }
        Refusal::Io(error) => {
            tracing::error!(error = %chain(error), "nothing can be remembered, so nothing is cosigned");
        }
        Refusal::Request(_)
        | Refusal::Checkpoint(_)
        | Refusal::Backwards { .. }
        | Refusal::UnknownLog(_)
        | Refusal::Signature(_)
        | Refusal::Conflict { .. } => tracing::warn!(%refusal, "a checkpoint was refused"),
    }
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    (status, [(CONTENT_TYPE, TEXT)], format!("{refusal}\n")).into_response()
}

async fn newest(State(witness): State<Witness>, Path(origin): Path<String>) -> Response {
    let read = tokio::task::spawn_blocking(move || witness.ledger.checkpoint(&origin)).await;
    match read {
        Ok(Ok(Some(note))) => {
            ([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-cache")], note).into_response()
        }
        Ok(Ok(None)) => {
            (StatusCode::NOT_FOUND, "nothing was cosigned for this log\n").into_response()
        }
        Ok(Err(error)) => {
            tracing::error!(error = %chain(&error), "a head can't be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a request broke off");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
