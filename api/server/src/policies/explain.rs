//! What a version would say.

use std::sync::Arc;

use axum::extract::State;
use custody_api_types::policy::{Check, ExplainPolicy, PolicyExplanation, Rule};
use custody_policy::{Decision, RuleRef, action_from_text};
use custody_record::event;
use custody_session::Orchestrator;
use custody_store::PolicyRow;

use crate::answer::Json;
use crate::asked::Asked;
use crate::error::{ApiError, chain};
use crate::gate::{Admitted, Found};

pub(crate) async fn explain(
    admitted: Admitted,
    Found(row): Found<PolicyRow>,
    State(orchestrator): State<Arc<Orchestrator>>,
    Asked(asked): Asked<ExplainPolicy>,
) -> Result<Json<PolicyExplanation>, ApiError> {
    let version = orchestrator.plane().policy_version(&row.project, &row.digest).await?;
    let user = asked.user.unwrap_or(admitted.caller.user);
    let action = action_from_text(&user, &asked.action, &asked.argument)
        .map_err(|error| ApiError::invalid("action", chain(&error)))?;
    let explanation = custody_policy::explain(&version, &user, &action);
    let check = |check: custody_policy::Check| Check {
        decision: decision(check.decision),
        rule: rule(check.rule),
        reason: check.reason,
    };
    Ok(Json(PolicyExplanation {
        policy_name: explanation.policy_name,
        policy: explanation.policy,
        user: explanation.user,
        action: explanation.action.to_owned(),
        decision: decision(explanation.decision),
        rule: rule(explanation.rule),
        reason: explanation.reason,
        checks: explanation.checks.into_iter().map(check).collect(),
    }))
}

fn decision(decision: Decision) -> event::Decision {
    match decision {
        Decision::Allow => event::Decision::Allow,
        Decision::NeedsApproval => event::Decision::NeedsApproval,
        Decision::Deny => event::Decision::Deny,
    }
}

fn rule(rule: RuleRef) -> Rule {
    let RuleRef { text, pointer, line } = rule;
    Rule { text, pointer, line }
}
