//! What a client sends: JSON bodies and queries, in which nothing unknown may stand.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use custody_api_types::ApiCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;

/// A JSON body.
pub(crate) struct Asked<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct MayAsk<T>(pub(crate) T);

/// The parameters of a query.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned + Serialize, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (json, bytes) = read(request, state).await?;
        if bytes.is_empty() {
            return Err(ApiError::new(ApiCode::Malformed, "a body is wanted, and there is none"));
        }
        parse(json, &bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Serialize + Default, S: Send + Sync> FromRequest<S> for MayAsk<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (json, bytes) = read(request, state).await?;
        match bytes.is_empty() {
            true => Ok(Self(T::default())),
            false => parse(json, &bytes).map(Self),
        }
    }
}

/// Whether it says that it is JSON, and the bytes.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<(bool, Bytes), ApiError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    let json = name.is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let bytes = Bytes::from_request(request, state).await;
    let broken = |error| ApiError::new(ApiCode::Malformed, "the body broke off").caused_by(error);
    Ok((json, bytes.map_err(broken)?))
}

fn parse<T: DeserializeOwned + Serialize>(json: bool, bytes: &[u8]) -> Result<T, ApiError> {
    if !json {
        let detail = "the body is not said to be application/json";
        return Err(ApiError::new(ApiCode::UnsupportedMediaType, detail));
    }
    let given: Value = serde_json::from_slice(bytes)
        .map_err(|error| wrong(ApiCode::Malformed, ".", &error.to_string()))?;
    // Not from the value: of a member that is there twice that one has forgotten the first.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        wrong(ApiCode::Invalid, &error.path().to_string(), &error.inner().to_string())
    })?;
    let meant = serde_json::to_value(&value).map_err(ApiError::internal)?;
    match misfit(&given, &meant, String::new()) {
        Some((path, what)) => Err(wrong(ApiCode::Invalid, &path, what)),
        None => Ok(value),
    }
}

/// What serde takes and the API does not: the members of an object as a list, and an item of a set twice.
fn misfit(given: &Value, meant: &Value, path: String) -> Option<(String, &'static str)> {
    match (given, meant) {
        (Value::Array(given), Value::Array(meant)) if given.len() != meant.len() => {
            Some((path, "an item is there twice"))
        }
        (Value::Array(_), Value::Object(_)) => {
            let path = if path.is_empty() { ".".to_owned() } else { path };
            Some((path, "an object is wanted, and it is a list"))
        }
        (Value::Array(given), Value::Array(meant)) => {
            let mut both = given.iter().zip(meant).enumerate();
            both.find_map(|(at, (given, meant))| misfit(given, meant, format!("{path}[{at}]")))
        }
        (Value::Object(given), Value::Object(meant)) => given.iter().find_map(|(name, given)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            // What is left out of the answer is a default: an empty list, or nothing.
            misfit(given, meant.get(name).unwrap_or(&Value::Null), path)
        }),
        _ => None,
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let text = parts.uri.query().unwrap_or_default();
        // Whoever leaves a value out has forgotten it: they do not mean the default.
        let empty = text.split('&').find_map(|pair| match pair.split_once('=') {
            Some((name, "")) => Some(name),
            None if !pair.is_empty() => Some(pair),
            Some(_) | None => None,
        });
        if let Some(name) = empty {
            return Err(wrong(ApiCode::Malformed, name, "the parameter has no value"));
        }
        let reader = serde_html_form::Deserializer::from_bytes(text.as_bytes());
        serde_path_to_error::deserialize(reader).map(Self).map_err(|error| {
            wrong(ApiCode::Malformed, &error.path().to_string(), &error.inner().to_string())
        })
    }
}

/// An error that names what is wrong: the path to it, or the name that serde's message quotes.
fn wrong(code: ApiCode, path: &str, message: &str) -> ApiError {
    let quoted = ["unknown field `", "missing field `", "duplicate field `"];
    let name = quoted.iter().find_map(|begin| {
        let rest = message.split_once(begin)?.1;
        Some(rest.split_once('`')?.0)
    });
    let field = match (path, name) {
        (".", None) => None,
        ("." | "?", Some(name)) => Some(name.to_owned()),
        // The path may end with the name already.
        (path, Some(name)) if path.rsplit('.').next() == Some(name) => Some(path.to_owned()),
        (path, Some(name)) => Some(format!("{path}.{name}")),
        (path, None) => Some(path.to_owned()),
    };
    let error = ApiError::new(code, message);
    ApiError { field: field.map(String::into_boxed_str), ..error }
}
