//! Makes an access token from the service token that the call carries.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use custody_api_types::token::{CreatedToken, ExchangeToken, MAX_ACCESS_SECONDS};
use custody_control::tokens::{NewToken, lifetime_within};
use custody_model::TokenKind;
use custody_session::Orchestrator;

use crate::answer::Made;
use crate::asked::MayAsk;
use crate::error::ApiError;
use crate::gate::Admitted;
use crate::identity::Identity;
use crate::limits::Limits;

pub(crate) async fn exchange(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(identity): State<Arc<Identity>>,
    State(limits): State<Limits>,
    MayAsk(asked): MayAsk<ExchangeToken>,
) -> Result<Made<CreatedToken>, ApiError> {
    let service = admitted.verified.as_ref().filter(|token| token.kind == TokenKind::Service);
    let Some(service) = service else {
        return Err(ApiError::forbidden("only a service token can be exchanged, and this is none"));
    };
    if asked.lifetime_seconds.is_some_and(|seconds| !(1..=MAX_ACCESS_SECONDS).contains(&seconds)) {
        let detail = format!("an access token lives for 1 to {MAX_ACCESS_SECONDS} seconds");
        return Err(ApiError::invalid("lifetime_seconds", detail));
    }
    let plane = orchestrator.plane();
    let asked_for = asked.lifetime_seconds.map_or(limits.access_lifetime, Duration::from_secs);
    let wanted = NewToken {
        user: admitted.caller.user.clone(),
        kind: TokenKind::Access,
        scopes: super::scopes(&admitted, asked.scopes)?,
        lifetime: lifetime_within(asked_for, plane.now(), service.expires_at),
        label: String::new(),
        parent: service.token,
    };
    let issuer = identity.local().await;
    let (row, issued) = plane.issue_token(&admitted.author, &issuer, wanted).await?;
    let text = issued.text.expose().to_owned();
    Ok(Made(CreatedToken { token: super::shown(row), text }))
}
