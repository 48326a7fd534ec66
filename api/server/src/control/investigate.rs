//! Answers a question.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::ApiCode;
use custody_api_types::investigation::{Answer, AskInvestigation};
use custody_model::Role;
use custody_session::Orchestrator;

use crate::answer::Json;
use crate::asked::Asked;
use crate::error::{ApiError, chain};
use crate::gate::{Admitted, visibility};
use crate::investigator::{InvestigateError, Investigator};

pub(crate) async fn investigate(
    admitted: Admitted,
    State(orchestrator): State<Arc<Orchestrator>>,
    State(investigator): State<Arc<dyn Investigator>>,
    Asked(asked): Asked<AskInvestigation>,
) -> Result<Json<Answer>, ApiError> {
    let row = orchestrator.plane().store().repository(&asked.repository).await?;
    let seen = row.filter(|row| admitted.has_any(&Role::ALL, Some(&row.project)));
    if seen.is_none() {
        return Err(ApiError::not_found("repository", &asked.repository).field("repository"));
    }
    let visible = visibility(&admitted.caller);
    let answer = investigator.investigate(&asked.question, &asked.repository, &visible).await;
    answer.map(Json).map_err(|error| match error {
        InvestigateError::Question(_) => ApiError::invalid("question", chain(&error)),
        InvestigateError::NotFound(_) => ApiError::new(ApiCode::NotFound, chain(&error)),
        InvestigateError::Record(_) => {
            let code = ApiCode::VerificationFailed;
            ApiError::new(code, code.kind().title).caused_by(error)
        }
        InvestigateError::Failed(_) => {
            let code = ApiCode::Io;
            ApiError::new(code, code.kind().title).caused_by(error)
        }
    })
}
