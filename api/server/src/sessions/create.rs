//! Asks for a session.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use custody_api_types::ApiCode;
use custody_api_types::session::CreateSession;
use custody_model::{Digest, Role};
use custody_record::canonical;
use custody_record::control::Idempotency;
use custody_session::{NewSession, Orchestrator};

use super::place::with_place;
use crate::answer::Made;
use crate::asked::Asked;
use crate::error::{ApiError, chain};
use crate::gate::Admitted;
use crate::policies;

/// Says that the request was made before, under the same key.
const REPEATED: &str = "idempotency-replayed";

pub(crate) async fn create(
    admitted: Admitted,
    headers: HeaderMap,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<CreateSession>,
) -> Result<Response, ApiError> {
    let project = &asked.project;
    admitted.wants(&[Role::Developer], project)?;
    if asked.policy.is_some() && !admitted.has_any(&[Role::Admin], Some(project)) {
        let detail = format!("only an admin of project {project} chooses the policy of a session");
        return Err(ApiError::forbidden(detail).field("policy"));
    }
    if asked.dirty && !admitted.has_any(&[Role::Admin], None) {
        let detail =
            "only an admin of this installation starts from a working tree on the server's machine";
        return Err(ApiError::forbidden(detail).field("dirty"));
    }
    let idempotency = key(&headers)?.map(|key| named(key, &asked)).transpose()?;
    let policy = asked.policy.as_deref().map(|text| policies::parse(text, "policy")).transpose()?;
    let new = NewSession {
        requester: admitted.caller.user.clone(),
        project: asked.project,
        repository: asked.repository,
        base: asked.base,
        dirty: asked.dirty,
        command: asked.command,
        directory: asked.directory,
        image: asked.image,
        limits: asked.limits,
        environment: asked.environment,
        strict: asked.strict,
        terminal: asked.terminal.map(|window| custody_session::attach::Window {
            rows: window.rows,
            columns: window.columns,
        }),
        input: asked.input,
        attach: asked.attach,
        policy,
        idempotency,
    };
    let created = orchestrator.create(&admitted.author, new).await?;
    let session = with_place(&orchestrator, super::shown(created.row)).await?;
    Ok(match created.repeated {
        true => ([(REPEATED, "true")], Made(session)).into_response(),
        false => Made(session).into_response(),
    })
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let plain = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    plain.map(Some).ok_or_else(|| {
        ApiError::invalid("Idempotency-Key", "1 to 255 visible characters of ASCII are wanted")
    })
}

/// The same request has the same digest, however its JSON is written.
fn named(key: &str, asked: &CreateSession) -> Result<Idempotency, ApiError> {
    let bytes = canonical::to_vec(asked)
        .map_err(|error| ApiError::new(ApiCode::Invalid, chain(&error)).caused_by(error))?;
    Ok(Idempotency { key: key.to_owned(), request: Digest::of(&bytes) })
}
