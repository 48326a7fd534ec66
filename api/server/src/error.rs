//! Failures of calls: a stable code and a safe sentence for the client, the whole chain for the log.

use std::error::Error;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use custody_api_types::ApiCode;
use custody_control::ControlError;
use custody_identity::IssueError;
use custody_record::{BlobError, ControlLogError, ReadError, VaultError};
use custody_session::{AttachError, SessionError};
use custody_store::StoreError;

/// Why a call failed.
#[derive(Debug)]
pub struct ApiError {
    /// The stable code.
    pub code: ApiCode,
    /// What happened, for the client.
    pub detail: Box<str>,
    /// The parameter or member that is wrong.
    pub field: Option<Box<str>>,
    /// What may help; the code's own advice without it.
    pub hint: Option<String>,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// The challenge of a 401 or 403 (RFC 6750, section 3), without its scheme.
    pub challenge: Option<String>,
    /// What led to it, for the log.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// With this code and this detail.
    #[must_use]
    pub fn new(code: ApiCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into().into_boxed_str(),
            field: None,
            hint: None,
            retry_after: None,
            challenge: None,
            source: None,
        }
    }

    /// There is none, or the caller may not see it: the same words for both.
    #[must_use]
    pub fn not_found(what: &str, name: &dyn std::fmt::Display) -> Self {
        Self::new(ApiCode::NotFound, format!("there is no {what} {name}, or you may not see it"))
    }

    /// The caller may see it and not do this.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(ApiCode::Forbidden, detail)
    }

    /// A value that can't be taken.
    #[must_use]
    pub fn invalid(field: &str, detail: impl Into<String>) -> Self {
        Self::new(ApiCode::Invalid, detail).field(field)
    }

    /// An error of Custody itself.
    pub fn internal(source: impl Error + Send + Sync + 'static) -> Self {
        Self::new(ApiCode::Internal, ApiCode::Internal.kind().title).caused_by(source)
    }

    /// Names the parameter or member.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into().into_boxed_str());
        self
    }

    /// Says what may help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps what led to it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What led to it in one line, for the log.
    #[must_use]
    pub fn cause(&self) -> String {
        self.source.as_deref().map_or_else(|| self.detail.to_string(), |source| chain(source))
    }

    /// An error of another crate: of a client's mistake everything is told, of the server's only its kind.
    pub(crate) fn of(code: ApiCode, source: impl Error + Send + Sync + 'static) -> Self {
        let detail = match code.kind().status < 500 {
            true => chain(&source),
            false => code.kind().title.to_owned(),
        };
        Self::new(code, detail).caused_by(source)
    }
}

/// An error and its causes in one line, without those that say the same again.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// Travels from whoever failed to the outermost layer, which knows the call's id.
#[derive(Clone)]
pub(crate) struct Failed(pub(crate) std::sync::Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.kind().status)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(Failed(std::sync::Arc::new(self)));
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Cursor(_) => Self::invalid("after", error.to_string()).caused_by(error),
            StoreError::Stale { .. } => Self::of(ApiCode::Unavailable, error),
            StoreError::KeyTaken { .. } => Self::of(ApiCode::Conflict, error),
            StoreError::Corrupt { .. } | StoreError::Database { .. } => {
                Self::of(ApiCode::Io, error)
            }
        }
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Store(error) => error.into(),
            ControlError::Log(error) => error.into(),
            ControlError::Invalid { field, reason } => Self::invalid(field, reason),
            ControlError::NotFound { what, name } => Self::not_found(what, &name),
            ControlError::Issue(IssueError::Lifetime { .. }) => {
                let detail = chain(&error);
                Self::invalid("lifetime_seconds", detail).caused_by(error)
            }
            ControlError::Issue(IssueError::TooLong) => {
                Self::invalid("scopes", chain(&error)).caused_by(error)
            }
            ControlError::Blob(_)
            | ControlError::Record(_)
            | ControlError::Conflict(_)
            | ControlError::Forbidden(_)
            | ControlError::Issue(IssueError::Sign(_))
            | ControlError::Random(_)
            | ControlError::BrokenOff(_) => Self::of(error.code().into(), error),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Control(error) => error.into(),
            SessionError::Invalid { field, reason } => Self::invalid(field, reason),
            SessionError::Policy(_) => Self::of(ApiCode::Invalid, error).field("policy"),
            SessionError::RepositoryName(_) => Self::of(ApiCode::Invalid, error).field("name"),
            SessionError::Source(_) => Self::of(ApiCode::Invalid, error).field("source"),
            SessionError::Base { .. } => Self::of(ApiCode::Invalid, error).field("base"),
            SessionError::Unknown(session) => Self::not_found("session", &session),
            SessionError::Vault(error @ VaultError::Wrapping { .. }) => {
                // What the program says is the operator's to read. Clients ask again by themselves when a server is
                // unavailable, which may be for long here.
                let detail = "the key that the session's content is sealed with can't be wrapped or unwrapped, so \
                              nothing was begun";
                let hint = "tell the operator the request's id: the server's log says what the program in \
                            vault.wrapping answered";
                Self::new(ApiCode::EnvironmentLacks, detail).hint(hint).caused_by(error)
            }
            SessionError::State { .. }
            | SessionError::Conflict { .. }
            | SessionError::Forbidden(_)
            | SessionError::KeyReused { .. }
            | SessionError::LineFull { .. }
            | SessionError::Mirror(_)
            | SessionError::File { .. }
            | SessionError::Spec(_)
            | SessionError::Erasure(_)
            | SessionError::Log(_)
            | SessionError::Key(_)
            | SessionError::Redactor(_)
            | SessionError::Redacted(_)
            | SessionError::Vault(_)
            | SessionError::Keeper(_)
            | SessionError::Start(_)
            | SessionError::Attach(_)
            | SessionError::Clock { .. }
            | SessionError::Draining
            | SessionError::Fault(_) => {
                let code = ApiCode::from(error.code());
                let later = matches!(error, SessionError::LineFull { .. } | SessionError::Draining);
                let mut failed = Self::of(code, error);
                failed.retry_after = later.then_some(Duration::from_secs(5));
                failed
            }
        }
    }
}

impl From<ControlLogError> for ApiError {
    fn from(error: ControlLogError) -> Self {
        match &error {
            // Only what a client sends makes an event too long.
            ControlLogError::Draft(_) => {
                let detail = format!("what is asked for does not fit on record: {}", chain(&error));
                Self::new(ApiCode::Invalid, detail).caused_by(error)
            }
            ControlLogError::Io(_)
            | ControlLogError::Frame(_)
            | ControlLogError::Extend(_)
            | ControlLogError::Vault(_)
            | ControlLogError::KeyGone(_)
            | ControlLogError::Redactor(_)
            | ControlLogError::Bundle { .. }
            | ControlLogError::Event { .. }
            | ControlLogError::Torn { .. }
            | ControlLogError::Group(_) => Self::of(ApiCode::RecordUnwritable, error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::NoRecord(_) => no_record(),
            ReadError::Io { .. } | ReadError::Key(_) => Self::of(ApiCode::Io, error),
            ReadError::Frame(_)
            | ReadError::Header(_)
            | ReadError::Foreign { .. }
            | ReadError::Note(_)
            | ReadError::Checkpoint(_)
            | ReadError::Bundle { .. }
            | ReadError::Event { .. } => Self::of(ApiCode::VerificationFailed, error),
        }
    }
}

/// The session has no record: it did not begin yet, or never came so far.
#[must_use]
pub fn no_record() -> ApiError {
    ApiError::new(ApiCode::RecordIncomplete, "the session has no record yet")
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        match &error {
            BlobError::Erased { .. } => Self::of(ApiCode::Erased, error),
            BlobError::Missing(_)
            | BlobError::Locked(_)
            | BlobError::Swapped(..)
            | BlobError::Damaged { .. }
            | BlobError::TooLarge { .. }
            | BlobError::Write(_)
            | BlobError::Io { .. } => Self::of(ApiCode::VerificationFailed, error),
        }
    }
}

impl From<AttachError> for ApiError {
    fn from(error: AttachError) -> Self {
        SessionError::from(error).into()
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(error)
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::of(ApiCode::Io, error)
    }
}
