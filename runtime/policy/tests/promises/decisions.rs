//! What is not allowed is refused, and every decision names its rule.

use custody_model::{Action, Digest, Limits, SessionId, Timestamp};
use custody_policy::{
    Approval, Decision, PolicyVersion, ReadRecord, StopSession, Verdict, evaluate, explain,
    request_digest,
};
use proptest::prelude::*;

use crate::documents::{full, request, user, with};

#[track_caller]
fn assert_says(name: &str, action: &Action, decision: Decision, rule: &str, line: Option<u64>) {
    let explanation = explain(&full(), &user(name), action);
    let found = (explanation.decision, explanation.rule.text.as_str(), explanation.rule.line);
    assert_eq!(found, (decision, rule, line), "{explanation}");
    let text = explanation.to_string();
    assert!(text.contains(rule) && text.contains(decision.as_str()), "{text}");
}

fn session(requester: &str, image: &str, command: &[&str]) -> Action {
    Action::SessionRequest(Box::new(request(requester, image, command)))
}

#[test]
fn a_session_is_allowed_by_the_rule_that_lets_its_requester_ask() {
    let make = session("dan@example.org", "host", &["make"]);
    assert_says("dan@example.org", &make, Decision::Allow, "users: *@example.org", Some(5));
}

#[test]
fn a_session_is_refused_by_the_first_rule_that_does_not_allow_it() {
    use Decision::{Deny, NeedsApproval};
    assert_says("eve", &session("eve", "host", &["make"]), Deny, "users", Some(5));
    assert_says("alice", &session("alice", "ubuntu", &["make"]), Deny, "images", Some(13));
    assert_says("alice", &session("alice", "host", &["curl", "x"]), Deny, "deny: [curl]", Some(16));
    assert_says(
        "alice",
        &session("alice", "host", &["/usr/bin/curl"]),
        Deny,
        "deny: [curl]",
        Some(16),
    );
    assert_says(
        "alice",
        &session("alice", "host", &[]),
        Deny,
        "built in: a session runs a command",
        None,
    );
    let image = "approval: when: image: prod/*";
    assert_says("alice", &session("alice", "prod/a", &["make"]), NeedsApproval, image, Some(10));
    let other = "built in: nobody asks in another's name";
    assert_says("bob", &session("alice", "host", &["make"]), Deny, other, None);
}

#[test]
fn the_last_command_rule_that_matches_wins() {
    use Decision::{Allow, Deny};
    let run = |words: &[&str]| Action::CommandRun {
        command: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    assert_says(
        "alice",
        &run(&["curl", "--version"]),
        Allow,
        "allow_exactly: [curl, --version]",
        Some(18),
    );
    assert_says("alice", &run(&["curl", "--version", "x"]), Deny, "deny: [curl]", Some(16));
    assert_says("alice", &run(&["git", "push", "origin"]), Deny, "deny: [git, push]", Some(17));
    assert_says("alice", &run(&["git", "status"]), Allow, "allow: [*]", Some(15));
}

#[test]
fn a_program_is_not_allowed_by_its_name_in_another_directory() {
    let text = with("allow: [\"*\"]", "allow: [cargo]");
    let policy = PolicyVersion::parse(&text).unwrap();
    let decision = |program: &str| {
        let action = Action::CommandRun { command: vec![program.to_owned()] };
        explain(&policy, &user("alice"), &action).decision
    };
    assert_eq!(decision("cargo"), Decision::Allow);
    assert_eq!(decision("./cargo"), Decision::Deny);
}

#[test]
fn files_are_decided_by_the_path_rules() {
    use Decision::{Allow, Deny};
    let read = |path: &str| Action::FileRead { path: path.parse().unwrap() };
    let write = |path: &str| Action::FileWrite { path: path.parse().unwrap() };
    assert_says("alice", &read("secrets/key"), Deny, "deny: secrets/**", Some(20));
    assert_says("alice", &read(".github/x"), Allow, "read_only: .github/", Some(21));
    assert_says("alice", &write(".github/x"), Deny, "read_only: .github/", Some(21));
    let excepted = "read_write: .github/ISSUE_TEMPLATE";
    assert_says("alice", &write(".github/ISSUE_TEMPLATE/a"), Allow, excepted, Some(22));
    assert_says("alice", &write("src/a"), Allow, "default", Some(19));
}

#[test]
fn credentials_never_enter_even_where_a_pattern_matches() {
    use Decision::{Allow, Deny};
    let pass = |name: &str| Action::EnvironmentPass { name: name.to_owned() };
    assert_says("alice", &pass("LC_ALL"), Allow, "enter: LC_*", Some(28));
    assert_says("alice", &pass("GITHUB_ACTOR"), Allow, "enter: GITHUB_*", Some(28));
    let credential = "built in: credentials never enter a sandbox";
    assert_says("alice", &pass("GITHUB_TOKEN"), Deny, credential, None);
    assert_says("alice", &pass("HOME"), Deny, "enter", Some(28));
    assert_says("alice", &pass("CI"), Deny, "set: CI", Some(29));
}

#[test]
fn a_sandbox_has_no_network() {
    let connect = Action::NetworkConnect { host: "example.org".to_owned(), port: Some(443) };
    assert_says("alice", &connect, Decision::Deny, "built in: a sandbox has no network", None);
}

#[test]
fn sessions_and_records_are_for_who_asked() {
    let session = SessionId::new(Timestamp::from_micros(1), [0; 10]);
    let (alice, bob) = (user("alice"), user("bob"));
    let stop = |by: &custody_model::UserName| {
        let act = StopSession { by: by.clone(), session, requester: alice.clone() };
        matches!(evaluate(&full(), act, &[]), Verdict::Allow(_))
    };
    let read = |by: &custody_model::UserName| {
        let act = ReadRecord { by: by.clone(), session, requester: alice.clone() };
        matches!(evaluate(&full(), act, &[]), Verdict::Allow(_))
    };
    assert_eq!((stop(&alice), stop(&bob), read(&alice), read(&bob)), (true, false, true, false));
}

#[test]
fn a_permit_grants_the_smaller_of_what_was_asked_and_what_is_allowed() {
    let mut asked = request("alice", "host", &["make"]);
    asked.limits =
        Limits { memory_bytes: Some(100 << 30), processes: Some(10), ..Limits::default() };
    asked.environment =
        ["TERM", "LC_ALL", "HOME", "GITHUB_TOKEN", "CI"].map(str::to_owned).to_vec();
    let policy = full();
    let permit = match evaluate(&policy, asked.clone(), &[]) {
        Verdict::Allow(permit) => permit,
        other => panic!("allowed: {other:?}"),
    };
    assert_eq!(
        permit.limits(),
        &Limits {
            cpu_millicores: Some(1500),
            memory_bytes: Some(4 << 30),
            processes: Some(10),
            disk_bytes: Some(2 << 30),
            wall_seconds: Some(1800),
            idle_seconds: Some(600),
        }
    );
    assert_eq!(permit.environment().enter, ["TERM", "LC_ALL"]);
    assert_eq!(permit.environment().withheld, ["HOME", "GITHUB_TOKEN", "CI"]);
    assert_eq!(permit.environment().set["CI"], "true");
    assert_eq!((permit.act(), permit.image(), permit.rule()), (&asked, "host", "users: alice"));
    assert_eq!((permit.policy_name(), permit.policy_digest()), ("payments", policy.digest()));
    assert_eq!(permit.path_rules().digest(), policy.path_rules().digest());
    assert!(!permit.strict() && permit.approvers().is_empty());
}

#[test]
fn strict_mediation_is_asked_for_or_imposed_but_never_lifted() {
    let strict = PolicyVersion::parse(&with("mediation: observed", "mediation: strict")).unwrap();
    for (policy, asked, granted) in
        [(full(), false, false), (full(), true, true), (strict, false, true)]
    {
        let mut request = request("alice", "host", &["make"]);
        request.strict = asked;
        match evaluate(&policy, request, &[]) {
            Verdict::Allow(permit) => assert_eq!(permit.strict(), granted),
            other => panic!("allowed: {other:?}"),
        }
    }
}

#[test]
fn the_built_in_policy_is_for_its_user_alone() {
    let policy = PolicyVersion::builtin_local(&user("dev"));
    let permit = match evaluate(&policy, request("dev", "host", &["sh"]), &[]) {
        Verdict::Allow(permit) => permit,
        other => panic!("allowed: {other:?}"),
    };
    assert!(permit.limits().memory_bytes.is_some() && permit.path_rules().denies());
    assert!(policy.may_enter("TERM") && policy.may_enter("LC_CTYPE") && !policy.may_enter("HOME"));
    assert!(matches!(evaluate(&policy, request("eve", "host", &["sh"]), &[]), Verdict::Deny(_)));
    assert!(matches!(evaluate(&policy, request("dev", "other", &["sh"]), &[]), Verdict::Deny(_)));
}

proptest! {
    #[test]
    fn every_request_has_a_verdict_that_the_policy_bears_out(
        requester in "(alice|bob|eve|[a-z*]{1,4}@example[.]org)",
        image in "(host|prod/x|debian:12|\\PC{0,6})",
        command in proptest::collection::vec("(deploy|curl|git|push|make|\\PC{0,4})", 0..4),
        environment in proptest::collection::vec("(TERM|LC_ALL|GITHUB_TOKEN|\\PC{0,6})", 0..4),
        memory in proptest::option::of(any::<u64>()),
        strict in any::<bool>(),
        approvers in proptest::collection::vec("(alice|bob|carol|eve)", 0..5),
    ) {
        let policy = full();
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut asked = request(&requester, &image, &words);
        asked.environment = environment;
        asked.limits.memory_bytes = memory;
        asked.strict = strict;
        let approve = |name: &String| Approval {
            approver: user(name),
            request: request_digest(&asked),
            policy: policy.digest(),
            at: Timestamp::from_micros(0),
        };
        let approvals: Vec<_> = approvers.iter().map(approve).collect();
        let action = Action::SessionRequest(Box::new(asked.clone()));
        let before = explain(&policy, &asked.requester, &action);
        match evaluate(&policy, asked.clone(), &approvals) {
            Verdict::Allow(permit) => {
                prop_assert!(before.decision != Decision::Deny);
                prop_assert!(!permit.approvers().contains(&asked.requester));
                if before.decision == Decision::NeedsApproval {
                    prop_assert!(permit.approvers().len() >= 2);
                }
                prop_assert!(permit.limits().memory_bytes.is_some_and(|bytes| bytes <= 4 << 30));
                let enter = &permit.environment().enter;
                prop_assert!(enter.iter().all(|name| policy.may_enter(name)));
            }
            Verdict::NeedsApproval(needed) => {
                prop_assert_eq!(before.decision, Decision::NeedsApproval);
                prop_assert_eq!(needed.granted.len() + needed.missing, 2);
            }
            Verdict::Deny(refusal) => {
                prop_assert_eq!(before.decision, Decision::Deny);
                prop_assert!(!refusal.rule.text.is_empty() && !refusal.reason.is_empty());
            }
        }
    }

    #[test]
    fn every_action_has_an_explanation(text in "\\PC{0,12}", bytes in proptest::collection::vec(1u8.., 0..12)) {
        let session = SessionId::new(Timestamp::from_micros(1), [7; 10]);
        let alice = user("alice");
        let path = custody_model::WorkspacePath::from_bytes(&bytes).unwrap_or_default();
        let actions = [
            session_action(&text),
            Action::SessionApprove { requester: user("bob"), request: Digest::of(text.as_bytes()) },
            Action::SessionStop { session, requester: alice.clone() },
            Action::ImageUse { image: text.clone() },
            Action::CommandRun { command: text.split(' ').map(str::to_owned).collect() },
            Action::FileRead { path: path.clone() },
            Action::FileWrite { path },
            Action::EnvironmentPass { name: text.clone() },
            Action::NetworkConnect { host: text, port: None },
            Action::RecordRead { session, requester: alice.clone() },
        ];
        let names = actions.each_ref().map(Action::name);
        prop_assert_eq!(names, Action::NAMES);
        for action in &actions {
            let explanation = explain(&full(), &alice, action);
            prop_assert!(!explanation.rule.text.is_empty());
            prop_assert!(explanation.checks.iter().any(|check| check.rule == explanation.rule));
            let json = serde_json::to_value(&explanation).unwrap();
            prop_assert_eq!(&json["action"], action.name());
            prop_assert_eq!(&json["decision"], explanation.decision.as_str());
        }
    }
}

fn session_action(text: &str) -> Action {
    session("alice", text, &[text])
}
