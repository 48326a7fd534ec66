//! Counters for Prometheus.

use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::IntoResponse;
use custody_api_types::ApiCode;
use custody_model::Digest;
use custody_session::Orchestrator;

use crate::build::MetricsGuard;
use crate::error::ApiError;
use crate::lifecycle::Lifecycle;
use crate::metrics::{Gauge, Metrics};
use crate::origin::{Peer, Trust};

pub(crate) async fn metrics(
    State(metrics): State<Arc<Metrics>>,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(lifecycle): State<Lifecycle>,
    State(guard): State<MetricsGuard>,
    State(trust): State<Trust>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    allowed(&guard, &trust, peer, &headers)?;
    let store = orchestrator.plane().store();
    let running = store.leases().await?.len() as u64;
    let waiting = store.sessions_in(&["queued", "awaiting_approval"]).await?.len() as u64;
    let gauge = |name, help, value| Gauge { name, help, value };
    let text = metrics.text(&[
        gauge("custody_sessions_running", "Sessions that take room on the machine.", running),
        gauge("custody_sessions_waiting", "Sessions that wait for room or approval.", waiting),
        gauge("custody_api_streams", "Open streams.", lifecycle.streams().into()),
        gauge(
            "custody_control_events_applied",
            "Events of the control log that the store shows.",
            store.applied().await?,
        ),
    ]);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
}

/// With a token whoever has it, without one this machine.
fn allowed(
    guard: &MetricsGuard,
    trust: &Trust,
    peer: Peer,
    headers: &HeaderMap,
) -> Result<(), ApiError> {
    let Some(token) = &guard.token else {
        let local = trust.client(peer, headers).is_none_or(|client| client.is_loopback());
        let detail = "metrics are there for this machine alone; `server.metrics_token` lets others read them";
        return if local { Ok(()) } else { Err(ApiError::forbidden(detail)) };
    };
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Of digests, so that the time says nothing of the token.
    if Digest::of(given.as_bytes()) == Digest::of(token.as_bytes()) {
        return Ok(());
    }
    let error = ApiError::new(ApiCode::Unauthenticated, "the token for metrics is wanted");
    Err(ApiError { challenge: Some(String::new()), ..error })
}
