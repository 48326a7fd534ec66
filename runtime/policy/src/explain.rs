//! `explain()`: what a policy says about any action, and why, for people and for programs.

use std::fmt;

use custody_model::{Action, Digest, UserName};
use serde::Serialize;

use crate::decide::{Check, Decision, checks, deciding};
use crate::rule::RuleRef;
use crate::version::PolicyVersion;

/// A decision with everything that led to it. Nothing follows from it: only `evaluate` gives a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The policy's name.
    pub policy_name: String,
    /// The policy version.
    pub policy: Digest,
    /// Who would do it.
    pub user: UserName,
    /// The action's name, as in `file.write`.
    pub action: &'static str,
    /// What was decided.
    pub decision: Decision,
    /// The rule that decided.
    pub rule: RuleRef,
    /// Why, in words.
    pub reason: String,
    /// All checks in their order, the deciding one among them.
    pub checks: Vec<Check>,
}

/// What `policy` says if `user` does `action`, before anybody has approved anything.
#[must_use]
pub fn explain(policy: &PolicyVersion, user: &UserName, action: &Action) -> Explanation {
    let checks = checks(policy, user, action);
    let Check { decision, rule, reason } = deciding(checks.clone());
    Explanation {
        policy_name: policy.name().to_owned(),
        policy: policy.digest(),
        user: user.clone(),
        action: action.name(),
        decision,
        rule,
        reason,
        checks,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} by {}: {}", self.action, self.user, self.decision.as_str())?;
        writeln!(f, "  rule    {}", self.rule)?;
        writeln!(f, "  why     {}", self.reason)?;
        write!(f, "  policy  {} {}", self.policy_name, self.policy)?;
        if self.checks.len() > 1 {
            for check in &self.checks {
                write!(f, "\n  - {}: {} — {}", check.decision.as_str(), check.rule, check.reason)?;
            }
        }
        Ok(())
    }
}
