//! Lists tokens.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::Page;
use custody_api_types::token::{Token, TokenQuery};
use custody_model::Role;
use custody_session::Orchestrator;

use crate::answer::{self, Json};
use crate::asked::Query;
use crate::error::ApiError;
use crate::gate::Admitted;
use crate::limits::Limits;

pub(crate) async fn list(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(limits): State<Limits>,
    Query(query): Query<TokenQuery>,
) -> Result<Json<Page<Token>>, ApiError> {
    let own = admitted.caller.user.clone();
    let user = match (query.user, admitted.has_any(&[Role::Admin, Role::Auditor], None)) {
        (user, true) => user,
        (Some(user), false) if user != own => {
            let detail = "only admins and auditors of this installation see tokens of others";
            return Err(ApiError::forbidden(detail).field("user"));
        }
        (Some(_) | None, false) => Some(own),
    };
    let wanted = answer::wanted(&limits, query.limit, query.after.as_deref())?;
    let page = orchestrator.plane().store().tokens(user.as_ref(), &wanted).await?;
    Ok(Json(answer::shown(page, super::shown)))
}
