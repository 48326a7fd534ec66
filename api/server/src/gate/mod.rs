//! The gate: what every call passes on its way to a handler. Who calls, how often, what is asked; on record if it changes
//! something or an auditor looks something up; whether they may; and afterwards, with what result.
//!
//! It is driven by the table of endpoints: a handler gets no call that did not come through here.

mod accept;
mod admitted;
mod audit;
mod authenticate;
mod authorise;
mod body;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{RequestExt as _, extract::State};
use custody_api_types::{Access, ApiCode, Endpoint};
use custody_control::ControlPlane;
use futures_util::FutureExt as _;

pub(crate) use admitted::{Admitted, Found, Named};
pub(crate) use authorise::visibility;

use crate::error::ApiError;
use crate::identity::Identity;
use crate::lifecycle::Lifecycle;
use crate::limits::Limits;
use crate::logs::Transparency;
use crate::metrics::Metrics;
use crate::origin::{Peer, Trust};
use crate::outer::CallId;
use crate::rate::Rates;

/// What the gate stands on.
pub(crate) struct Gate {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) limits: Limits,
    pub(crate) rates: Rates,
    pub(crate) trust: Trust,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) transparency: Transparency,
}

/// The gate before one endpoint.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) gate: Arc<Gate>,
    pub(crate) endpoint: &'static Endpoint,
}

/// The middleware.
pub(crate) async fn pass(
    State(guarded): State<Guarded>,
    mut request: Request,
    next: Next,
) -> Response {
    let endpoint = guarded.endpoint;
    let parameters = request.extract_parts::<RawPathParams>().await;
    let (parts, body) = request.into_parts();
    let parameters = match parameters {
        Ok(parameters) => {
            parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        }
        // A path that is no UTF-8 once its escapes are undone names nothing.
        Err(_) => return ApiError::not_found("path", &endpoint.path).into_response(),
    };
    let gate = &guarded.gate;
    let unknown = match endpoint.access {
        Access::Public => Some(Ok(())),
        // Whoever needs no token is not asked for one.
        Access::Published(part, _) if gate.transparency.covers(part) => {
            Some(gate.count_stranger(&parts))
        }
        _ => None,
    };
    let answered = match unknown {
        Some(Ok(())) => {
            let answer = caught(next.run(Request::from_parts(parts, body)));
            within(gate.limits.request_time, answer).await
        }
        Some(Err(error)) => Err(error),
        None => guarded.known(parts, body, parameters, next).await,
    };
    let mut response = answered.unwrap_or_else(IntoResponse::into_response);
    response.extensions_mut().insert(endpoint.operation);
    response
}

/// The parameters of the path, by name.
pub(crate) type PathParameters = std::collections::BTreeMap<String, String>;

impl Guarded {
    async fn known(
        self,
        mut parts: Parts,
        body: Body,
        parameters: PathParameters,
        next: Next,
    ) -> Result<Response, ApiError> {
        let (gate, endpoint) = (self.gate.clone(), self.endpoint);
        let Some(CallId(call)) = parts.extensions.get::<CallId>().copied() else {
            return Err(missing("the call has no id"));
        };
        let peer = parts.extensions.get::<axum::extract::ConnectInfo<Peer>>();
        let Some(peer) = peer.map(|info| info.0) else {
            return Err(missing("the connection has no peer"));
        };
        let who = gate.authenticate(endpoint, peer, &parts.headers, call).await?;
        if endpoint.changes && gate.lifecycle.is_draining() {
            return Err(draining());
        }
        let body = gate.read_body(endpoint, &parts.headers, body).await;
        let recorded = audit::is_recorded(endpoint, &who);
        let time = gate.limits.request_time;
        let work = async move {
            let noted =
                gate.note(endpoint, &who, &parameters, &parts.uri, body.as_ref().ok()).await;
            let noted = match noted {
                Ok(noted) => noted,
                Err(error) => return error.into_response(),
            };
            let author = noted.author.clone();
            let answered = async {
                let body = body?;
                accept::check(endpoint, &parts.headers)?;
                gate.authorise(endpoint, &who.caller, &parameters, &mut parts.extensions).await?;
                parts.extensions.insert(Admitted {
                    caller: who.caller,
                    author,
                    verified: who.verified,
                });
                caught(next.run(Request::from_parts(parts, Body::from(body)))).await
            };
            let response = answered.await.unwrap_or_else(IntoResponse::into_response);
            let result = audit::result(&response);
            gate.completed(&noted, result).await;
            response
        };
        // What gets on record is carried through, whether or not its client stays.
        match recorded {
            true => within(time, self.gate.lifecycle.run(work).map(|joined| Ok(joined?))).await,
            false => within(time, work.map(Ok)).await,
        }
    }
}

fn missing(what: &'static str) -> ApiError {
    ApiError::internal(std::io::Error::other(what))
}

fn draining() -> ApiError {
    let error =
        ApiError::new(ApiCode::Unavailable, "the server is draining; ask again in a moment");
    ApiError { retry_after: Some(Duration::from_secs(1)), ..error }
}

/// Within the time for one answer.
async fn within(
    time: Duration,
    work: impl Future<Output = Result<Response, ApiError>>,
) -> Result<Response, ApiError> {
    match tokio::time::timeout(time, work).await {
        Ok(answered) => answered,
        Err(_) => {
            let detail = format!("there was no answer within {} seconds", time.as_secs());
            Err(ApiError::new(ApiCode::Slow, detail))
        }
    }
}

/// What panicked, in words.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {0}")]
pub(crate) struct Panicked(String);

impl Panicked {
    pub(crate) fn of(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "for no reason that it told".to_owned()))
    }
}

/// A panic is an error of one call and of nothing else.
async fn caught(answer: impl Future<Output = Response>) -> Result<Response, ApiError> {
    let caught = AssertUnwindSafe(answer).catch_unwind().await;
    caught.map_err(|payload| ApiError::internal(Panicked::of(&*payload)))
}
