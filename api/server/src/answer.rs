//! What goes out: JSON and pages.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use custody_api_types::{Page, PageQuery};
use custody_store::{Cursor, PageRequest};
use serde::Serialize;

use crate::error::ApiError;
use crate::limits::Limits;

/// A JSON answer: 200.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON answer about something that was made: 201.
pub(crate) struct Made<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let json = HeaderValue::from_static(custody_api_types::endpoint::JSON);
                ([(CONTENT_TYPE, json)], bytes).into_response()
            }
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

impl<T: Serialize> IntoResponse for Made<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.0).into_response();
        if response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::CREATED;
        }
        response
    }
}

/// What the store is asked for.
pub(crate) fn wanted(
    limits: &Limits,
    limit: Option<u32>,
    after: Option<&str>,
) -> Result<PageRequest, ApiError> {
    let after = after.map(str::parse::<Cursor>).transpose();
    let after = after.map_err(|error| ApiError::invalid("after", error.to_string()))?;
    Ok(PageRequest { limit: limits.page(limit)?, after })
}

/// The same for a query of nothing else.
pub(crate) fn page(limits: &Limits, query: &PageQuery) -> Result<PageRequest, ApiError> {
    wanted(limits, query.limit, query.after.as_deref())
}

/// A page of the store's rows as clients see them.
pub(crate) fn shown<R, T>(page: custody_store::Page<R>, show: impl FnMut(R) -> T) -> Page<T> {
    Page {
        next: page.next.as_ref().map(ToString::to_string),
        items: page.items.into_iter().map(show).collect(),
    }
}

/// A page of a list that is not the store's: the names in their order, each the cursor after itself.
pub(crate) fn of_names<T>(
    names: impl IntoIterator<Item = String>,
    wanted: &PageRequest,
    show: impl FnMut(String) -> T,
) -> Page<T> {
    let after = wanted.after.as_ref().map(Cursor::as_str);
    let mut names: Vec<String> =
        names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after)).collect();
    let more = names.len() > wanted.limit;
    names.truncate(wanted.limit);
    let next = names.last().filter(|_| more).cloned();
    Page { items: names.into_iter().map(show).collect(), next }
}
