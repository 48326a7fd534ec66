//! `evaluate()`: pure and total, and the only maker of a [`Permit`].

use std::collections::BTreeSet;

use custody_model::{Action, Digest, StartSession, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::decide::{Check, Decision, checks, deciding};
use crate::permit::Permit;
use crate::rule::RuleRef;
use crate::version::PolicyVersion;

/// Somebody's approval of one request under one policy version.
///
/// It is for exactly this request: another command, image, base or policy version needs another approval. That
/// the approver is who they say has to be known before one of these is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who approved.
    pub approver: UserName,
    /// [`request_digest`] of what was approved.
    pub request: Digest,
    /// The policy version under which it was approved.
    pub policy: Digest,
    /// When.
    pub at: Timestamp,
}

/// Why an approval does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Discounted {
    /// It is of another request.
    OtherRequest,
    /// It was given under another policy version.
    OtherPolicy,
    /// Nobody approves what they asked for.
    OwnRequest,
    /// The policy does not name them as an approver.
    NotAnApprover,
    /// They approved it already.
    Repeated,
}

/// What a policy says about an act.
#[derive(Debug)]
#[must_use]
pub enum Verdict<A: Act> {
    /// It may be done: here is the proof.
    Allow(Permit<A>),
    /// Approvals are missing.
    NeedsApproval(ApprovalNeeded),
    /// It may not be done.
    Deny(Refusal),
}

/// The approvals that an act lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalNeeded {
    /// What approvals have to be of.
    pub request: Digest,
    /// The policy version that they have to be under.
    pub policy: Digest,
    /// The rule that wants them.
    pub rule: RuleRef,
    /// Who approved so far.
    pub granted: Vec<UserName>,
    /// How many more people have to.
    pub missing: usize,
    /// Who may, as the policy spells it.
    pub by: Vec<String>,
    /// The approvals that do not count, and why.
    pub discounted: Vec<(UserName, Discounted)>,
}

/// Why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{action} is refused by the policy {policy_name}: {reason}; rule: {rule}")]
pub struct Refusal {
    /// The action's name, as in `session.request`.
    pub action: &'static str,
    /// The policy's name.
    pub policy_name: String,
    /// The policy version.
    pub policy: Digest,
    /// The rule that refused it.
    pub rule: RuleRef,
    /// Why, in words.
    pub reason: String,
}

/// What an approval of a session is bound to: the digest of its `session.request` in canonical form (RFC 8785).
#[must_use]
pub fn request_digest(request: &StartSession) -> Digest {
    let action = Action::SessionRequest(Box::new(request.clone()));
    // Nothing in a request lacks a JSON form. If that ever changed, the digest of nothing would stand for the
    // request and differ from every approval's.
    Digest::of(&serde_json_canonicalizer::to_vec(&action).unwrap_or_default())
}

/// Decides whether `act` may be done under `policy`, with the approvals that there are.
///
/// Depends on nothing but its arguments, and has an answer for all of them. Whatever the document says, nobody
/// approves what they asked for, and each person counts once.
pub fn evaluate<A: Act>(policy: &PolicyVersion, act: A, approvals: &[Approval]) -> Verdict<A> {
    let action = act.to_action();
    let Check { decision, rule, reason } = deciding(checks(policy, act.user(), &action));
    match decision {
        Decision::Allow => Verdict::Allow(Permit::grant(act, rule, policy, Vec::new())),
        Decision::Deny => Verdict::Deny(Refusal {
            action: action.name(),
            policy_name: policy.name().to_owned(),
            policy: policy.digest(),
            rule,
            reason,
        }),
        Decision::NeedsApproval => {
            let request = match &action {
                Action::SessionRequest(request) => request_digest(request),
                // No other action needs an approval; should one ever, nothing approves it by accident.
                Action::SessionApprove { .. }
                | Action::SessionStop { .. }
                | Action::ImageUse { .. }
                | Action::CommandRun { .. }
                | Action::FileRead { .. }
                | Action::FileWrite { .. }
                | Action::EnvironmentPass { .. }
                | Action::NetworkConnect { .. }
                | Action::RecordRead { .. } => policy.digest(),
            };
            let (granted, discounted) = count(policy, act.user(), request, approvals);
            let wanted = policy.document().approval.count();
            if granted.len() >= wanted {
                return Verdict::Allow(Permit::grant(act, rule, policy, granted));
            }
            let by = &policy.document().approval.by;
            Verdict::NeedsApproval(ApprovalNeeded {
                request,
                policy: policy.digest(),
                rule,
                missing: wanted - granted.len(),
                granted,
                by: by.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
                discounted,
            })
        }
    }
}

/// Sorts approvals into the people who count, in the order of their approvals, and what does not count.
fn count(
    policy: &PolicyVersion,
    requester: &UserName,
    request: Digest,
    approvals: &[Approval],
) -> (Vec<UserName>, Vec<(UserName, Discounted)>) {
    let by = &policy.document().approval.by;
    let (mut granted, mut discounted, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for approval in approvals {
        let name = &approval.approver;
        let reason = if approval.request != request {
            Discounted::OtherRequest
        } else if approval.policy != policy.digest() {
            Discounted::OtherPolicy
        } else if name == requester {
            Discounted::OwnRequest
        } else if !by.iter().any(|pattern| pattern.matches(name.as_str())) {
            Discounted::NotAnApprover
        } else if !seen.insert(name) {
            Discounted::Repeated
        } else {
            granted.push(name.clone());
            continue;
        };
        discounted.push((name.clone(), reason));
    }
    (granted, discounted)
}
