//! Answers: read to their end within a limit, and told apart.

use std::time::Duration;

use custody_api_types::Problem;
use custody_api_types::problem::PROBLEM_JSON;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::de::DeserializeOwned;

use crate::address::ServerAddress;
use crate::error::ClientError;

/// Longest answer that is read into memory, in bytes. What may be longer is a [`crate::Download`].
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Longest problem, in bytes.
const MAX_PROBLEM_BYTES: usize = 256 << 10;

/// What a failed try of a call gave.
pub(crate) struct Failed {
    pub(crate) error: ClientError,
    /// When to come again (RFC 9110, section 10.2.3), in seconds.
    pub(crate) retry_after: Duration,
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self { error, retry_after: Duration::ZERO }
    }
}

/// Tells by what a request failed.
pub(crate) fn failed(address: &ServerAddress, source: reqwest::Error) -> ClientError {
    // The address is said once, and tokens are in no URL.
    let (address, source) = (address.clone(), source.without_url());
    if source.is_builder() {
        ClientError::Http(source)
    } else if source.is_connect() {
        ClientError::Unreachable { address, source }
    } else {
        ClientError::Broken { address, source }
    }
}

async fn bytes(
    address: &ServerAddress,
    mut response: Response,
    limit: usize,
) -> Result<Option<Vec<u8>>, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(address, e))? {
        if bytes.len() + chunk.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// The value that an answer is.
pub(crate) async fn json<T: DeserializeOwned>(
    address: &ServerAddress,
    operation: &'static str,
    response: Response,
) -> Result<T, ClientError> {
    let bytes = bytes(address, response, MAX_ANSWER_BYTES).await?;
    let bytes = bytes.ok_or(ClientError::TooLong(operation))?;
    serde_json::from_slice(&bytes).map_err(|source| ClientError::Answer { operation, source })
}

/// The problem that an answer without success is.
pub(crate) async fn problem(address: &ServerAddress, response: Response) -> Failed {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let seconds = header(RETRY_AFTER).and_then(|text| text.parse().ok()).unwrap_or(0);
    let retry_after = Duration::from_secs(seconds);
    let is_problem = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with(PROBLEM_JSON));
    let foreign = |what| ClientError::Foreign { address: address.clone(), status, what };
    if !is_problem {
        return Failed { error: foreign(String::new()), retry_after };
    }
    let error = match bytes(address, response, MAX_PROBLEM_BYTES).await {
        Ok(Some(bytes)) => match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => foreign(unknown(&bytes)),
        },
        Ok(None) => foreign(String::new()),
        Err(error) => error,
    };
    Failed { error, retry_after }
}

/// What can be said of a problem with a code that this client does not know.
fn unknown(bytes: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let text = |name| value.as_ref().and_then(|v| v.get(name)?.as_str().map(str::to_owned));
    match (text("code"), text("detail")) {
        (Some(code), Some(detail)) => format!(", {code}: {detail}"),
        (Some(text), None) | (None, Some(text)) => format!(", {text}"),
        (None, None) => String::new(),
    }
}
