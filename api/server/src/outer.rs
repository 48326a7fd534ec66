//! The outermost layer: each call gets its id, and each failure its document.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use custody_api_types::problem::PROBLEM_JSON;
use custody_api_types::{ApiCode, Operation, Problem};
use custody_model::{Clock, RequestId};
use futures_util::FutureExt as _;

use crate::error::{ApiError, Failed};
use crate::gate::Panicked;
use crate::limits::MAX_TARGET_BYTES;
use crate::metrics::Metrics;

/// The name of a call, which a client may give.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a call.
#[derive(Clone, Copy)]
pub(crate) struct CallId(pub(crate) RequestId);

/// What the layer stands on.
#[derive(Clone)]
pub(crate) struct Outer {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    /// Answers have the whole cause of a failure: see `Trust::is_own_program`.
    pub(crate) tells_causes: bool,
}

/// The middleware.
pub(crate) async fn outer(
    State(outer): State<Outer>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers()).unwrap_or_else(|| new_id(&*outer.clock));
    request.extensions_mut().insert(CallId(id));
    let private = request.uri().path().starts_with("/v1/");
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let response = if target > MAX_TARGET_BYTES {
        let detail = format!("the address has {target} bytes, and {MAX_TARGET_BYTES} are the most");
        ApiError::new(ApiCode::Malformed, detail).into_response()
    } else {
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        answer
            .await
            .unwrap_or_else(|payload| ApiError::internal(Panicked::of(&*payload)).into_response())
    };
    let operation = response.extensions().get::<Operation>().map_or("none", |op| op.as_str());
    let mut response = document(response, id, outer.tells_causes);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if private {
        // But for what says itself how long it holds.
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    let (status, took) = (response.status(), began.elapsed());
    outer.metrics.called(operation, status.as_u16(), took);
    tracing::debug!(request = %id, operation, status = status.as_u16(), ?took, "answered");
    response
}

/// A client's own name for the call, if it is one.
fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    headers.get(REQUEST_ID)?.to_str().ok()?.parse().ok()
}

fn new_id(clock: &dyn Clock) -> RequestId {
    let mut random = [0; 10];
    if let Err(error) = getrandom::fill(&mut random) {
        // A name for the log: nothing rests on its being hard to guess.
        tracing::warn!(%error, "a call's id has no random bytes");
    }
    RequestId::new(clock.now(), random)
}

/// Gives a failure its document, and tells the log of what is the server's fault.
fn document(response: Response, id: RequestId, tells_causes: bool) -> Response {
    let failed = match response.extensions().get::<Failed>() {
        Some(failed) => failed.0.clone(),
        None if response.status().is_client_error() || response.status().is_server_error() => {
            match unexplained(&response) {
                Some(error) => Arc::new(error),
                None => return response,
            }
        }
        None => return response,
    };
    let is_ours = failed.code.kind().status >= 500;
    if is_ours && !tells_causes {
        tracing::error!(request = %id, code = %failed.code, error = failed.cause(), "a call failed");
    } else {
        tracing::debug!(request = %id, code = %failed.code, detail = &*failed.detail, "a call was refused");
    }
    let detail = match is_ours && tells_causes {
        true => failed.cause(),
        false => failed.detail.to_string(),
    };
    let mut problem = Problem::new(failed.code, detail, id);
    problem.field = failed.field.as_deref().map(str::to_owned);
    problem.hint =
        Some(failed.hint.clone().unwrap_or_else(|| failed.code.kind().advice.to_owned()));
    // What the document says can be written as JSON: it is text and numbers.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::from_u16(problem.status).unwrap_or(parts.status);
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    parts.headers.remove(CONTENT_LENGTH);
    if let Some(wait) = failed.retry_after {
        // Rounded up: who comes back then is let in.
        parts.headers.insert(RETRY_AFTER, (wait.as_millis().div_ceil(1000) as u64).into());
    }
    if let Some(challenge) = &failed.challenge {
        let value = match challenge.as_str() {
            "" => "Bearer realm=\"custody\"".to_owned(),
            challenge => format!("Bearer realm=\"custody\", {challenge}"),
        };
        if let Ok(value) = HeaderValue::from_str(&value) {
            parts.headers.insert(WWW_AUTHENTICATE, value);
        }
    }
    Response::from_parts(parts, Body::from(body))
}

/// A failure that no handler explains: axum's own.
fn unexplained(response: &Response) -> Option<ApiError> {
    let known = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
    let code = match response.status() {
        StatusCode::NOT_FOUND => ApiCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ApiCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ApiCode::BodyTooLarge,
        StatusCode::UPGRADE_REQUIRED => ApiCode::UpgradeRequired,
        status if status.is_client_error() => ApiCode::Malformed,
        _ => ApiCode::Internal,
    };
    (!known).then(|| ApiError::new(code, code.kind().title))
}
