//! One delivery over HTTP.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};

/// Most bytes of an answer that are read.
const ANSWER: usize = 64 << 10;

/// Why a delivery failed. It is made again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// There was no answer.
    #[error("there was no answer")]
    Transport(#[source] reqwest::Error),
    /// The receiver did not take it.
    #[error("the receiver answered {status}")]
    Status {
        /// What it said.
        status: StatusCode,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
}

impl Refused {
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::Transport(_) => None,
            Self::Status { after, .. } => *after,
        }
    }
}

/// A client for one destination. Redirects are not followed: what is recorded goes where an admin said, and nowhere else.
pub(crate) fn client(patience: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(patience)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("custody/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// What is posted.
pub(crate) struct Delivery {
    pub(crate) media_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) token: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Posts it; what the receiver answered, if it took it.
pub(crate) async fn post(
    client: &Client,
    url: &str,
    delivery: Delivery,
) -> Result<Vec<u8>, Refused> {
    let mut request: RequestBuilder =
        client.post(url).header(CONTENT_TYPE, delivery.media_type).body(delivery.body);
    for (name, value) in delivery.headers {
        request = request.header(name, value);
    }
    if let Some(token) = delivery.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let mut response = request.send().await.map_err(Refused::Transport)?;
    let status = response.status();
    if !status.is_success() {
        return Err(Refused::Status { status, after: after(&response) });
    }
    let mut answer = Vec::new();
    while answer.len() < ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
            Ok(None) => break,
            // It took it; how its answer ends changes nothing.
            Err(_) => break,
        }
    }
    Ok(answer)
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3); as a date it is not used.
fn after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}
