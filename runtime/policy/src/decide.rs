//! The decision on any action, as the list of its checks. Pure and total: `evaluate` and `explain` both stand on it.

use custody_model::{Action, Limits, StartSession, UserName, WorkspacePath};
use serde::Serialize;

use crate::document::{Condition, Required};
use crate::environment::{is_variable_name, looks_like_credential};
use crate::glob::TextPattern;
use crate::paths::Treatment;
use crate::quantity::MAX_NUMBER;
use crate::rule::RuleRef;
use crate::version::PolicyVersion;

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may be done.
    Allow,
    /// It may be done once others have approved it.
    NeedsApproval,
    /// It may not be done.
    Deny,
}

impl Decision {
    /// The stable text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::NeedsApproval => "needs_approval",
            Self::Deny => "deny",
        }
    }
}

/// One check of an action, and the rule that decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was decided.
    pub decision: Decision,
    /// By which rule.
    pub rule: RuleRef,
    /// Why, in words.
    pub reason: String,
}

impl Check {
    fn new(decision: Decision, rule: RuleRef, reason: impl Into<String>) -> Self {
        Self { decision, rule, reason: reason.into() }
    }
}

/// The check that decides the whole: the first refusal, else the first approval that is needed, else the first one.
pub(crate) fn deciding(checks: Vec<Check>) -> Check {
    // Of equals the first stays: an allowed session names the rule that let its requester ask.
    let worse = |worst: Check, next: Check| {
        if next.decision > worst.decision { next } else { worst }
    };
    checks.into_iter().reduce(worse).unwrap_or_else(|| {
        Check::new(
            Decision::Deny,
            RuleRef::built_in("nothing is allowed by default"),
            "no rule is about it",
        )
    })
}

/// All checks of an action by `user`, in their order.
pub(crate) fn checks(policy: &PolicyVersion, user: &UserName, action: &Action) -> Vec<Check> {
    let decide = Decide { policy, user };
    match action {
        Action::SessionRequest(request) => decide.session(request),
        Action::SessionApprove { requester, .. } => vec![decide.approve(requester)],
        Action::SessionStop { requester, .. } => {
            vec![decide.own(requester, "a session is stopped by who asked for it")]
        }
        Action::RecordRead { requester, .. } => {
            vec![decide.own(requester, "a record is read by who asked for the session")]
        }
        Action::ImageUse { image } => vec![decide.image(image)],
        Action::CommandRun { command } => vec![decide.command(command)],
        Action::FileRead { path } => vec![decide.file(path, false)],
        Action::FileWrite { path } => vec![decide.file(path, true)],
        Action::EnvironmentPass { name } => vec![decide.environment(name)],
        Action::NetworkConnect { host, port } => vec![decide.network(host, *port)],
    }
}

struct Decide<'a> {
    policy: &'a PolicyVersion,
    user: &'a UserName,
}

impl Decide<'_> {
    /// The entry of a list of patterns that matches, or the list itself.
    fn listed(
        &self,
        patterns: &[TextPattern],
        text: &str,
        list: &str,
        field: &str,
        what: &str,
    ) -> Check {
        match patterns.iter().position(|pattern| pattern.matches(text)) {
            Some(at) => {
                let spelled = format!("{field}: {}", patterns[at].as_str());
                let rule = RuleRef::at(self.policy, format!("{list}/{at}"), spelled);
                Check::new(Decision::Allow, rule, format!("{what} {text} is listed"))
            }
            None => {
                let rule = RuleRef::at(self.policy, list.to_owned(), field);
                Check::new(
                    Decision::Deny,
                    rule,
                    format!(
                        "{what} {text} matches no entry of `{}` in the policy {}",
                        list.trim_start_matches('/').replace('/', "."),
                        self.policy.name()
                    ),
                )
            }
        }
    }

    fn session(&self, request: &StartSession) -> Vec<Check> {
        let own_name = if *self.user == request.requester {
            self.listed(
                &self.policy.document().requesters.users,
                request.requester.as_str(),
                "/requesters/users",
                "users",
                "the user",
            )
        } else {
            Check::new(
                Decision::Deny,
                RuleRef::built_in("nobody asks in another's name"),
                format!("{} asks in the name of {}", self.user, request.requester),
            )
        };
        let mut checks = vec![own_name, self.image(&request.image), self.command(&request.command)];
        checks.extend(too_large(&request.limits));
        checks.push(self.approval(request));
        checks
    }

    fn image(&self, image: &str) -> Check {
        self.listed(&self.policy.document().images, image, "/images", "images", "the image")
    }

    fn command(&self, command: &[String]) -> Check {
        if command.is_empty() {
            let rule = RuleRef::built_in("a session runs a command");
            return Check::new(Decision::Deny, rule, "the command is empty");
        }
        let rules = &self.policy.document().commands;
        match rules.iter().rposition(|rule| rule.matches(command)) {
            Some(at) => {
                let decision = if rules[at].allows() { Decision::Allow } else { Decision::Deny };
                let pointer = format!("/commands/{at}");
                let rule = RuleRef::at(self.policy, pointer, rules[at].to_string());
                Check::new(decision, rule, "it is the last rule that matches the command")
            }
            None => {
                let rule = RuleRef::at(self.policy, "/commands".to_owned(), "commands");
                let name = self.policy.name();
                let reason =
                    format!("no rule of `commands` in the policy {name} matches the command");
                Check::new(Decision::Deny, rule, reason)
            }
        }
    }

    fn approval(&self, request: &StartSession) -> Check {
        let approval = &self.policy.document().approval;
        let needed = |pointer: &str, text: String| {
            let reason = format!(
                "{} of the people in `approval` have to approve it first",
                approval.count()
            );
            let rule = RuleRef::at(self.policy, pointer.to_owned(), text);
            Check::new(Decision::NeedsApproval, rule, reason)
        };
        let free = |text: &str| {
            let rule = RuleRef::at(self.policy, "/approval".to_owned(), text);
            Check::new(Decision::Allow, rule, "no approval is needed")
        };
        match approval.required {
            Required::Never => free("approval: required: never"),
            Required::Always => {
                needed("/approval/required", "approval: required: always".to_owned())
            }
            Required::When => {
                let holds = |condition: &Condition| match condition {
                    Condition::Image(pattern) => pattern.matches(&request.image),
                    Condition::Command(pattern) => pattern.begins(&request.command, true),
                };
                match approval.when.iter().position(holds) {
                    None => free("approval: required: when"),
                    Some(at) => {
                        let spelled = match &approval.when[at] {
                            Condition::Image(pattern) => format!("image: {}", pattern.as_str()),
                            Condition::Command(pattern) => format!("command: {pattern}"),
                        };
                        needed(
                            &format!("/approval/when/{at}"),
                            format!("approval: when: {spelled}"),
                        )
                    }
                }
            }
        }
    }

    fn approve(&self, requester: &UserName) -> Check {
        if self.user == requester {
            let rule = RuleRef::built_in("nobody approves what they asked for");
            return Check::new(Decision::Deny, rule, format!("{requester} asked for it"));
        }
        let approvers = &self.policy.document().approval.by;
        self.listed(approvers, self.user.as_str(), "/approval/by", "approval: by", "the user")
    }

    fn own(&self, requester: &UserName, rule: &str) -> Check {
        if self.user == requester {
            Check::new(
                Decision::Allow,
                RuleRef::built_in(rule),
                format!("{requester} asked for it"),
            )
        } else {
            let reason = format!("{requester} asked for it, not {}", self.user);
            Check::new(Decision::Deny, RuleRef::built_in(rule), reason)
        }
    }

    fn file(&self, path: &WorkspacePath, write: bool) -> Check {
        let ruling = self.policy.path_rules().treatment(path);
        let pointer = ruling.index.map_or_else(|| "/paths".to_owned(), |at| format!("/paths/{at}"));
        let decision = match ruling.treatment {
            Treatment::ReadWrite => Decision::Allow,
            Treatment::ReadOnly if !write => Decision::Allow,
            Treatment::ReadOnly | Treatment::Deny => Decision::Deny,
        };
        let reason = match ruling.index {
            Some(_) => format!("the path or a directory above it is {}", ruling.treatment.as_str()),
            None => "no path rule matches: it is read_write".to_owned(),
        };
        Check::new(decision, RuleRef::at(self.policy, pointer, ruling.rule), reason)
    }

    fn environment(&self, name: &str) -> Check {
        let environment = &self.policy.document().environment;
        if !is_variable_name(name) {
            let rule = RuleRef::built_in("a variable's name is letters, digits and _");
            return Check::new(Decision::Deny, rule, format!("{name:?} is not a variable's name"));
        }
        if looks_like_credential(name) {
            let rule = RuleRef::built_in("credentials never enter a sandbox");
            return Check::new(Decision::Deny, rule, format!("{name} is a credential's name"));
        }
        if environment.set.contains_key(name) {
            let pointer = crate::location::child("/environment/set", &name);
            let rule = RuleRef::at(self.policy, pointer, format!("set: {name}"));
            return Check::new(Decision::Deny, rule, "the policy sets a value of its own");
        }
        self.listed(&environment.enter, name, "/environment/enter", "enter", "the variable")
    }

    fn network(&self, host: &str, port: Option<u16>) -> Check {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let reason = format!("{host}{port} is outside; a sandbox has loopback only");
        Check::new(Decision::Deny, RuleRef::built_in("a sandbox has no network"), reason)
    }
}

/// Numbers that no record could hold are refused before anything else is done with them.
fn too_large(limits: &Limits) -> Option<Check> {
    let asked = [limits.memory_bytes, limits.disk_bytes, limits.wall_seconds, limits.idle_seconds];
    asked.into_iter().flatten().find(|number| *number > MAX_NUMBER).map(|number| {
        let rule = RuleRef::built_in("numbers are at most 2^53 - 1");
        Check::new(Decision::Deny, rule, format!("a limit of {number} is asked for"))
    })
}
