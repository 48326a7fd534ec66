//! What a handler knows of its call once it is let in.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use custody_control::Author;
use custody_identity::Verified;
use custody_model::{Caller, ProjectName, Role, Scope, UserName};

use crate::error::ApiError;

/// A caller who was let in.
#[derive(Clone)]
pub(crate) struct Admitted {
    /// Who.
    pub(crate) caller: Caller,
    /// The same for the control log; its cause is the call, if that is on record.
    pub(crate) author: Author,
    /// What their token says; absent for the local operator.
    pub(crate) verified: Option<Verified>,
}

impl Admitted {
    /// Whether the caller has one of these roles in `project` (over the installation for `None`).
    pub(crate) fn has_any(&self, roles: &[Role], project: Option<&ProjectName>) -> bool {
        roles.iter().any(|role| self.caller.has(*role, project))
    }

    /// Whether the token may be used for this, too.
    pub(crate) fn may_use(&self, scope: Scope) -> bool {
        self.caller.scopes.contains(&scope)
    }

    /// For what a body names: one of these roles in the project.
    ///
    /// # Errors
    /// `not_found` if the caller has no role in it at all, else `forbidden`.
    pub(crate) fn wants(&self, roles: &[Role], project: &ProjectName) -> Result<(), ApiError> {
        if self.has_any(roles, Some(project)) {
            return Ok(());
        }
        if !self.has_any(&Role::ALL, Some(project)) {
            return Err(ApiError::not_found("project", project).field("project"));
        }
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        let detail = format!("you are no {} in project {project}", names.join(" or "));
        Err(ApiError::forbidden(detail))
    }
}

/// What the gate found on the way, because the path names it.
#[derive(Clone)]
pub(crate) struct Found<T>(pub(crate) T);

/// The gate did not put there what a handler needs.
#[derive(Debug, thiserror::Error)]
#[error("the gate did not find a {0} for the handler")]
struct NotThere(&'static str);

impl<S: Sync> FromRequestParts<S> for Admitted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let admitted = parts.extensions.get::<Self>().cloned();
        admitted.ok_or_else(|| ApiError::internal(NotThere("caller")))
    }
}

impl<T: Clone + Send + Sync + 'static, S: Sync> FromRequestParts<S> for Found<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| ApiError::internal(NotThere(std::any::type_name::<T>())))
    }
}

/// The user whom the path names.
#[derive(Clone)]
pub(crate) struct Named(pub(crate) UserName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = RawPathParams::from_request_parts(parts, state).await;
        let path = path.map_err(ApiError::internal)?;
        let text = path.iter().find(|(name, _)| *name == "user").map(|(_, text)| text);
        let text = text.unwrap_or_default();
        text.parse().map(Self).map_err(|_| ApiError::not_found("user", &text))
    }
}
