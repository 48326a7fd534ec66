//! Authorise: the keeper asks the policy itself, and the intent is durable before anything exists.

use std::collections::BTreeMap;

use custody_model::Actor;
use custody_policy::{Approval, Permit, StartSession, Verdict, evaluate};
use custody_record::Recorded;
use custody_record::event::{Body, Decision, Draft, RequestedSession, SessionAuthorized};
use custody_sandbox::Authorization;

use super::{KeeperError, Session, refusal};
use crate::spec::SessionSpec;

/// The act that a request asks a permit for.
#[must_use]
pub fn requested(spec: &SessionSpec) -> StartSession {
    StartSession {
        requester: spec.requester.clone(),
        repository: spec.repository.clone(),
        base_commit: spec.base_commit.clone(),
        base_tree: spec.base_tree.clone(),
        dirty: spec.dirty,
        command: spec.command.clone(),
        image: spec.image.clone(),
        environment: spec.environment.keys().cloned().collect(),
        limits: spec.limits.clone(),
        strict: spec.strict,
    }
}

/// Evaluates the policy and makes the permit durable. A refusal is recorded.
pub(super) fn authorize(session: &Session<'_>) -> Result<Authorization, KeeperError> {
    let permit = match evaluate(&session.policy, requested(&session.spec), &approvals(session)?) {
        Verdict::Allow(permit) => permit,
        Verdict::NeedsApproval(needed) => {
            let reason = format!("{} more approvals are needed", needed.missing);
            return refuse(session, needed.rule.text, reason, Decision::NeedsApproval);
        }
        Verdict::Deny(refused) => {
            return refuse(session, refused.rule.text, refused.reason, Decision::Deny);
        }
    };
    let body = Body::SessionAuthorized(authorized(&session.spec, &permit));
    let actor = Actor::User { name: session.spec.requester.clone() };
    let draft = Draft::new(session.setup.clock.now(), actor, body);
    Ok(Recorded::commit(&*session.journal, permit, draft)?)
}

/// The approvals beside the request. Whether they count, the policy says.
fn approvals(session: &Session<'_>) -> Result<Vec<Approval>, KeeperError> {
    let path = session.dir.approvals();
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| KeeperError::Request { what: "approvals.json", source: e.into() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => {
            Err(KeeperError::File { doing: format!("reading {}", path.display()), source })
        }
    }
}

fn refuse(
    session: &Session<'_>,
    rule: String,
    reason: String,
    decision: Decision,
) -> Result<Authorization, KeeperError> {
    session.recorder.keeper(refusal(rule.clone(), reason.clone(), decision), Vec::new())?;
    Err(KeeperError::Refused { rule, reason })
}

fn authorized(spec: &SessionSpec, permit: &Permit<StartSession>) -> SessionAuthorized {
    let grant = permit.environment();
    let mut environment: Vec<String> =
        grant.enter.iter().chain(grant.set.keys()).cloned().collect();
    environment.sort();
    environment.dedup();
    SessionAuthorized {
        requester: spec.requester.clone(),
        approvers: permit.approvers().to_vec(),
        request: RequestedSession {
            repository: spec.repository.clone(),
            base_commit: spec.base_commit.clone(),
            base_tree: spec.base_tree.clone(),
            dirty: spec.dirty,
            command: spec.command.clone(),
            command_whole: None,
            image: spec.image.clone(),
            limits: permit.limits().clone(),
            environment,
            environment_whole: None,
            strict: permit.strict(),
        },
        policy_name: permit.policy_name().to_owned(),
        rule: permit.rule().to_owned(),
    }
}

/// The variables that the permit lets in, with the requester's values, and those that the policy sets.
pub(super) fn granted(
    spec: &SessionSpec,
    permit: &Permit<StartSession>,
) -> BTreeMap<String, String> {
    let grant = permit.environment();
    let mut all = BTreeMap::new();
    for name in &grant.enter {
        if let Some(value) = spec.environment.get(name) {
            all.insert(name.clone(), value.clone());
        }
    }
    all.extend(grant.set.clone());
    all
}
