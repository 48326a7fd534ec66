//! Follows a record: server-sent events (WHATWG HTML), across the seal, without a lost or doubled event.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use custody_api_types::endpoint::EVENT_STREAM;
use custody_api_types::event::{STREAM_END, StreamEnd, StreamQuery};
use custody_identity::Verified;
use custody_model::SessionId;
use custody_model::state::session::SessionState;
use custody_record::{Fresh, Tail};
use custody_session::Orchestrator;
use custody_store::SessionRow;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::{Admitted, Found};
use crate::identity::still_valid;
use crate::lifecycle::{Lifecycle, OpenStream};
use crate::limits::Limits;

/// Events that are read at once.
const BATCH: usize = 512;

/// What a client is told to wait before it comes back, in milliseconds.
const RETRY: &str = "retry: 1000\n: come back\n\n";

pub(crate) async fn stream(
    admitted: Admitted,
    Found(row): Found<SessionRow>,
    headers: HeaderMap,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(lifecycle): State<Lifecycle>,
    State(limits): State<Limits>,
    Query(query): Query<StreamQuery>,
) -> Result<impl IntoResponse, ApiError> {
    let from = match last_event(&headers)? {
        Some(last) => last.saturating_add(1),
        None => query.from.unwrap_or(0),
    };
    let open = lifecycle.stream(&admitted.caller.user, &limits)?;
    let watching = Watching {
        tail: Some(Tail::new(&orchestrator.record(row.id), from)),
        session: row.id,
        growth: orchestrator.growth(row.id),
        orchestrator,
        lifecycle,
        heartbeat: limits.heartbeat,
        beat: Instant::now() + limits.heartbeat,
        verified: admitted.verified,
        done: false,
        _open: open,
    };
    let parts = stream::unfold(watching, |watching| async {
        watching.next().await.map(|(bytes, watching)| (Ok::<_, Infallible>(bytes), watching))
    });
    let headers = [(CONTENT_TYPE, EVENT_STREAM), (BUFFERING, "no")];
    Ok((headers, Body::from_stream(parts)))
}

/// Asks proxies to pass each event on as it comes.
const BUFFERING: axum::http::HeaderName = axum::http::HeaderName::from_static("x-accel-buffering");

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok());
    let invalid =
        || ApiError::invalid("Last-Event-ID", "the id of an event of this stream is wanted");
    seq.map(Some).ok_or_else(invalid)
}

struct Watching {
    /// Absent while it is read.
    tail: Option<Tail>,
    session: SessionId,
    growth: Option<watch::Receiver<u64>>,
    orchestrator: Arc<Orchestrator>,
    lifecycle: Lifecycle,
    heartbeat: Duration,
    beat: Instant,
    verified: Option<Verified>,
    done: bool,
    _open: OpenStream,
}

impl Watching {
    /// The next part of the stream.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            if self.done {
                return None;
            }
            if self.lifecycle.is_draining() {
                return Some(self.last(RETRY.to_owned()));
            }
            let (fresh, seq) = match self.read().await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(session = %self.session, error = error.cause(), "a record can't be followed");
                    return Some(self.last(": the record can't be read\n\n".to_owned()));
                }
            };
            let first = seq - fresh.entries.len() as u64;
            let mut text = String::new();
            for (seq, entry) in (first..).zip(&fresh.entries) {
                // Canonical JSON has no line breaks, and is UTF-8.
                let data = String::from_utf8_lossy(entry);
                text.push_str(&format!("id: {seq}\ndata: {data}\n\n"));
            }
            if fresh.end || (fresh.entries.is_empty() && self.will_never_be(seq).await) {
                text.push_str(&end(seq));
                return Some(self.last(text));
            }
            if !text.is_empty() {
                return Some((text.into(), self));
            }
            self.wait().await;
            if Instant::now() >= self.beat {
                self.beat = Instant::now() + self.heartbeat;
                if let Some(verified) = &self.verified
                    && !still_valid(self.orchestrator.plane(), verified).await
                {
                    return Some(self.last(": the token is not valid any more\n\n".to_owned()));
                }
                return Some((Bytes::from_static(b": waiting\n\n"), self));
            }
        }
    }

    fn last(mut self, text: String) -> (Bytes, Self) {
        self.done = true;
        (text.into(), self)
    }

    /// What is new, and the number of the event after it.
    async fn read(&mut self) -> Result<(Fresh, u64), ApiError> {
        let record = self.orchestrator.record(self.session);
        let mut tail = self.tail.take().unwrap_or_else(|| Tail::new(&record, 0));
        let (tail, fresh) = tokio::task::spawn_blocking(move || {
            let fresh = tail.read(BATCH);
            (tail, fresh)
        })
        .await?;
        let seq = tail.seq();
        self.tail = Some(tail);
        Ok((fresh?, seq))
    }

    /// A session that is over and has no record never gets one; but one that was refused is about to.
    async fn will_never_be(&self, seq: u64) -> bool {
        if seq > 0 || self.growth.is_some() || self.orchestrator.record(self.session).exists() {
            return false;
        }
        let row = self.orchestrator.row(self.session).await;
        row.is_ok_and(|row| {
            row.state.is_final() && !matches!(row.state, SessionState::Refused { .. })
        })
    }

    /// Until something may be new, the next sign of life is due, or the server drains.
    async fn wait(&mut self) {
        if self.growth.is_none() {
            self.growth = self.orchestrator.growth(self.session);
        }
        let poll = self.orchestrator.options().poll;
        let grown = async {
            match &mut self.growth {
                Some(growth) => growth.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let followed = tokio::select! {
            grown = grown => grown,
            () = tokio::time::sleep(poll) => true,
            () = tokio::time::sleep_until(self.beat) => true,
            () = self.lifecycle.drained() => true,
        };
        if !followed {
            // Nobody looks after it here any more: it is over, or another instance does.
            self.growth = None;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The last event: nothing follows.
fn end(events: u64) -> String {
    let data = serde_json::to_string(&StreamEnd { events }).unwrap_or_default();
    format!("event: {STREAM_END}\ndata: {data}\n\n")
}
