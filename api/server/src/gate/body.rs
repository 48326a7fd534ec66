//! Reading a body: at most so much, in at most so long.

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use custody_api_types::{ApiCode, Endpoint, Method};

use super::Gate;
use crate::error::ApiError;

impl Gate {
    /// The body; nothing of a GET's is read.
    pub(super) async fn read_body(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Bytes, ApiError> {
        if endpoint.method == Method::Get {
            return Ok(Bytes::new());
        }
        let most = self.limits.body;
        let too_large = || {
            let detail = format!("the body has more than {most} bytes, and no more are taken");
            ApiError::new(ApiCode::BodyTooLarge, detail)
        };
        let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if said.or(body.size_hint().exact()).is_some_and(|said: u64| said > most as u64) {
            return Err(too_large());
        }
        match tokio::time::timeout(self.limits.request_time, to_bytes(body, most)).await {
            Err(_) => Err(ApiError::new(ApiCode::Timeout, "the body did not come in time")),
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => {
                let limit = std::error::Error::source(&error).is_some_and(is_limit);
                if limit {
                    return Err(too_large());
                }
                let broken = ApiError::new(ApiCode::Malformed, "the body broke off");
                Err(broken.caused_by(error))
            }
        }
    }
}

fn is_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    error.to_string().contains("length limit exceeded")
}
