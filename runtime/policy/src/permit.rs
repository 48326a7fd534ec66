//! The permit: the proof that a policy version allowed an act.

use custody_model::{Digest, Limits, StartSession, UserName};

use crate::act::Act;
use crate::environment::EnvironmentGrant;
use crate::paths::PathRules;
use crate::rule::RuleRef;
use crate::version::PolicyVersion;

/// Proof that one policy version allowed `A`. Only [`crate::evaluate`] makes one.
///
/// Its fields are private, so that nobody else can:
///
/// ```compile_fail,E0451
/// use custody_policy::{Permit, PolicyVersion, StartSession};
///
/// fn forge(act: StartSession, policy: PolicyVersion) -> Permit<StartSession> {
///     let rule = custody_policy::RuleRef { text: String::new(), pointer: String::new(), line: None };
///     Permit { act, rule, policy, approvers: Vec::new(), terms: todo!() }
/// }
/// ```
///
/// It can't be read from anywhere either, and there is no second one by copying:
///
/// ```compile_fail,E0277
/// use custody_policy::{Permit, StopSession};
///
/// let permit: Permit<StopSession> = serde_json::from_str("{}").unwrap();
/// ```
///
/// ```compile_fail,E0277
/// use custody_policy::{Permit, StopSession};
///
/// fn copy(permit: &Permit<StopSession>) -> Permit<StopSession> {
///     Permit::<StopSession>::clone(permit)
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Permit<A: Act> {
    act: A,
    rule: RuleRef,
    policy: PolicyVersion,
    approvers: Vec<UserName>,
    terms: A::Terms,
}

impl<A: Act> Permit<A> {
    /// The one place where a permit comes into being; called by `evaluate` alone.
    pub(crate) fn grant(
        act: A,
        rule: RuleRef,
        policy: &PolicyVersion,
        approvers: Vec<UserName>,
    ) -> Self {
        let terms = act.terms(policy);
        Self { act, rule, policy: policy.clone(), approvers, terms }
    }

    /// What was allowed.
    pub fn act(&self) -> &A {
        &self.act
    }

    /// The rule that allowed it, as the policy spells it.
    pub fn rule(&self) -> &str {
        &self.rule.text
    }

    /// The rule with its place in the document.
    pub fn rule_ref(&self) -> &RuleRef {
        &self.rule
    }

    /// The policy version.
    pub fn policy_digest(&self) -> Digest {
        self.policy.digest()
    }

    /// The policy's name.
    pub fn policy_name(&self) -> &str {
        self.policy.name()
    }

    /// Whose approvals it rests on; empty if none was needed.
    pub fn approvers(&self) -> &[UserName] {
        &self.approvers
    }
}

impl Permit<StartSession> {
    /// What the session may use: of each resource the smaller of what was asked for and what is allowed.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.terms.limits
    }

    /// How the paths of its workspace are treated.
    #[must_use]
    pub fn path_rules(&self) -> &PathRules {
        &self.terms.paths
    }

    /// The variables of its environment.
    #[must_use]
    pub fn environment(&self) -> &EnvironmentGrant {
        &self.terms.environment
    }

    /// Whether its whole workspace is mediated synchronously: the policy or the request wants it.
    #[must_use]
    pub fn strict(&self) -> bool {
        self.terms.strict
    }

    /// The image that it runs in.
    #[must_use]
    pub fn image(&self) -> &str {
        &self.act.image
    }
}
