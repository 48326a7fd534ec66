//! The description of the API.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use custody_api_types::endpoint::JSON;

pub(crate) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, JSON)], crate::openapi::text())
}
