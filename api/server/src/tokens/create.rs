//! Issues a token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use custody_api_types::token::{CreateToken, CreatedToken};
use custody_control::tokens::NewToken;
use custody_model::{Role, TokenKind};
use custody_session::Orchestrator;

use crate::answer::Made;
use crate::asked::Asked;
use crate::error::ApiError;
use crate::gate::Admitted;
use crate::identity::Identity;
use crate::limits::Limits;

pub(crate) async fn create(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(identity): State<Arc<Identity>>,
    State(limits): State<Limits>,
    Asked(asked): Asked<CreateToken>,
) -> Result<Made<CreatedToken>, ApiError> {
    let user = asked.user.unwrap_or_else(|| admitted.caller.user.clone());
    if user != admitted.caller.user && !admitted.has_any(&[Role::Admin], None) {
        let detail = "only an admin of this installation issues tokens to others";
        return Err(ApiError::forbidden(detail).field("user"));
    }
    let lifetime = Duration::from_secs(asked.lifetime_seconds);
    if asked.kind == TokenKind::Service && lifetime > limits.service_lifetime_max {
        let most = limits.service_lifetime_max.as_secs();
        let detail = format!("a service token lives for {most} seconds at most");
        return Err(ApiError::invalid("lifetime_seconds", detail));
    }
    let scopes = super::scopes(&admitted, asked.scopes)?;
    let (kind, label) = (asked.kind, asked.label);
    let wanted = NewToken { user, kind, scopes, lifetime, label, parent: None };
    let issuer = identity.local().await;
    let (row, issued) = orchestrator.plane().issue_token(&admitted.author, &issuer, wanted).await?;
    let text = issued.text.expose().to_owned();
    Ok(Made(CreatedToken { token: super::shown(row), text }))
}
