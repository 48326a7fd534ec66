//! Who calls: a token over either transport, or the local operator over the Unix socket.

use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use custody_api_types::{Access, ApiCode, Endpoint};
use custody_identity::{TokenError, Verified};
use custody_model::{Caller, Grants, Origin, RequestId, Scope, TokenKind};

use super::Gate;
use crate::error::{ApiError, chain};
use crate::origin::Peer;
use crate::rate::Counted;

/// Somebody who is known.
pub(super) struct Who {
    pub(super) caller: Caller,
    pub(super) verified: Option<Verified>,
}

impl Gate {
    /// Who calls, if they do not call too often.
    pub(super) async fn authenticate(
        &self,
        endpoint: &Endpoint,
        peer: Peer,
        headers: &HeaderMap,
        call: RequestId,
    ) -> Result<Who, ApiError> {
        let origin = self.trust.origin(peer, headers, call);
        match self.identify(endpoint, peer, headers, origin).await {
            Ok(who) => {
                self.count(Counted::User(who.caller.user.clone()))?;
                Ok(who)
            }
            Err((reason, error)) => {
                self.metrics.refused(reason);
                self.count(self.trust.counted(peer, headers))?;
                Err(error)
            }
        }
    }

    /// Whoever reads what is published without a token does not do so too often, either.
    pub(super) fn count_stranger(&self, parts: &Parts) -> Result<(), ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let peer = peer.ok_or_else(|| super::missing("the connection has no peer"))?.0;
        self.count(self.trust.counted(peer, &parts.headers))
    }

    fn count(&self, who: Counted) -> Result<(), ApiError> {
        self.rates.count(who, self.plane.now()).map_err(|wait| {
            let detail = "you have called too often in the last minute";
            let wait = wait.max(Duration::from_secs(1));
            ApiError { retry_after: Some(wait), ..ApiError::new(ApiCode::RateLimited, detail) }
        })
    }

    async fn identify(
        &self,
        endpoint: &Endpoint,
        peer: Peer,
        headers: &HeaderMap,
        origin: Origin,
    ) -> Result<Who, (&'static str, ApiError)> {
        let token = match bearer(headers) {
            Ok(Some(token)) => token,
            Err(error) => return Err(("malformed", error)),
            Ok(None) => {
                let Some(user) = self.trust.operator(peer) else {
                    return Err(("missing", no_token()));
                };
                let scopes = Scope::ALL.into();
                let grants = Grants::everything();
                let caller = Caller { user, token: None, grants, scopes, origin };
                return Ok(Who { caller, verified: None });
            }
        };
        let now = self.plane.now();
        let refused = |error: TokenError| (error.reason(), bad_token(&error));
        let verified = self.identity.verify(token, now).await.map_err(refused)?;
        let standing = self.plane.standing(&verified).await;
        let (grants, revoked) = standing.map_err(|error| ("unknown", error.into()))?;
        let caller =
            custody_identity::caller(verified.clone(), grants, revoked, origin).map_err(refused)?;
        let exchange = endpoint.access == Access::ServiceToken;
        match (verified.kind, exchange) {
            (TokenKind::Service, false) => {
                let error = "a service token is good for `POST /v1/tokens/exchange` alone: send an access token";
                Err(("service_token", invalid_token(error)))
            }
            (TokenKind::Service, true) | (TokenKind::Access, _) => {
                Ok(Who { caller, verified: Some(verified) })
            }
        }
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid_token("there are several `Authorization` headers"));
    }
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        Some(_) | None => Err(invalid_token("`Authorization: Bearer TOKEN` is wanted")),
    }
}

fn no_token() -> ApiError {
    let error = ApiError::new(ApiCode::Unauthenticated, "there is no token");
    ApiError { challenge: Some(String::new()), ..error }
}

fn bad_token(error: &TokenError) -> ApiError {
    let mut refused = invalid_token(&chain(error));
    refused.hint = Some(format!("reason: {}", error.reason()));
    refused
}

/// RFC 6750, section 3.1.
fn invalid_token(detail: &str) -> ApiError {
    let quoted: String =
        detail.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
    let challenge = format!("error=\"invalid_token\", error_description=\"{quoted}\"");
    let error = ApiError::new(ApiCode::Unauthenticated, detail);
    ApiError { challenge: Some(challenge), ..error }
}
