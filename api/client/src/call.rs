//! One call: what is sent, and whether it may be sent again.

use std::time::Duration;

use custody_api_types::{ApiCode, Endpoint, Method, Operation, endpoint};
use serde::Serialize;

use crate::error::ClientError;
use crate::query;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    /// The client's name for the request: with it, it may be sent again.
    pub(crate) key: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Call {
    /// A call of `operation` on what its path names.
    pub(crate) fn new(operation: Operation, parameters: &[&str]) -> Self {
        let endpoint = endpoint(operation);
        Self {
            endpoint,
            path: endpoint.path_with(parameters),
            query: Vec::new(),
            body: None,
            key: None,
            headers: Vec::new(),
        }
    }

    pub(crate) fn query(mut self, query: &impl Serialize) -> Result<Self, ClientError> {
        self.query = query::pairs(query).map_err(ClientError::Request)?;
        Ok(self)
    }

    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        self.body = Some(serde_json::to_vec(body).map_err(ClientError::Request)?);
        Ok(self)
    }

    pub(crate) fn key(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn operation(&self) -> &'static str {
        self.endpoint.operation.as_str()
    }

    /// Twice is as good as once.
    fn is_repeatable(&self) -> bool {
        self.endpoint.method == Method::Get || self.key.is_some()
    }

    /// How long to wait at least before it is sent again after `error`; `None` if it must not be, or nothing would come of it.
    pub(crate) fn again_after(&self, error: &ClientError, told: Duration) -> Option<Duration> {
        match error {
            ClientError::Unreachable { .. } => Some(Duration::ZERO),
            ClientError::Broken { .. } => self.is_repeatable().then_some(Duration::ZERO),
            ClientError::Problem(problem) => {
                let code = problem.code;
                // Nothing was done, and the server says when to come again.
                let again = code == ApiCode::RateLimited
                    || (code == ApiCode::Unavailable && self.is_repeatable())
                    // What was begun goes on: the next answer is the one that was missed.
                    || (code == ApiCode::Slow && self.key.is_some());
                again.then_some(told)
            }
            // Of whoever stands before a server that is just restarted.
            ClientError::Foreign { status: 502..=504, .. } => self.is_repeatable().then_some(told),
            ClientError::Foreign { .. }
            | ClientError::Answer { .. }
            | ClientError::TooLong(_)
            | ClientError::Request(_)
            | ClientError::Tls(_)
            | ClientError::Http(_)
            | ClientError::Stream(_)
            | ClientError::Socket(_)
            | ClientError::Handshake(_)
            | ClientError::Frame(_)
            | ClientError::Write(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use custody_api_types::Problem;
    use custody_model::{RequestId, Timestamp};

    use super::*;

    #[test]
    fn only_what_changes_nothing_twice_is_sent_again() {
        let request = RequestId::new(Timestamp::from_micros(0), [0; 10]);
        let no = |code| ClientError::Problem(Box::new(Problem::new(code, "", request)));
        let list = Call::new(Operation::SessionList, &[]);
        let create = Call::new(Operation::SessionCreate, &[]);
        let named = create.clone().key(Some("a"));
        let stop = Call::new(Operation::SessionStop, &["1"]);
        let second = Duration::from_secs(1);
        for (call, unavailable, slow) in [
            (&list, true, false),
            (&create, false, false),
            (&named, true, true),
            (&stop, false, false),
        ] {
            let again = |code| call.again_after(&no(code), second);
            assert_eq!(again(ApiCode::Unavailable).is_some(), unavailable, "{call:?}");
            assert_eq!(again(ApiCode::Slow).is_some(), slow, "{call:?}");
            assert_eq!(again(ApiCode::RateLimited), Some(second));
            assert_eq!(again(ApiCode::Forbidden), None);
        }
    }
}
