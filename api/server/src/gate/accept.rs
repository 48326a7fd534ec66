//! Whether the client takes the answer's media type (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use custody_api_types::{ApiCode, Endpoint};

use crate::error::ApiError;

/// # Errors
/// `not_acceptable`.
pub(super) fn check(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), ApiError> {
    let success = endpoint.success;
    let given = success.media_type;
    let given = given.split(';').next().unwrap_or(given);
    let fits = |range| takes(range, given) || success.also.iter().any(|also| takes(range, also));
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if ranges.peek().is_none() || ranges.any(fits) {
        return Ok(());
    }
    let detail = format!("the answer is {given}, and `Accept` names nothing that it is");
    Err(ApiError::new(ApiCode::NotAcceptable, detail))
}

fn takes(range: &str, given: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    let refused = quality.and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0);
    let fits = name == "*/*"
        || name == given
        || name.strip_suffix("/*").is_some_and(|kind| given.split('/').next() == Some(kind));
    fits && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_take_what_they_name() {
        for range in ["*/*", "application/*;q=0.1", "Application/JSON", "application/json; q=1"] {
            assert!(takes(range, "application/json"), "{range}");
        }
        for range in ["text/*", "application/json;q=0", "application/xml", "json"] {
            assert!(!takes(range, "application/json"), "{range}");
        }
    }
}
