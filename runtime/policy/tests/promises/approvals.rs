//! Nobody approves what they asked for, and an approval is for one request under one policy version.

use custody_model::{Digest, Timestamp};
use custody_policy::{
    Approval, ApprovalNeeded, ApproveSession, Discounted, PolicyVersion, StartSession, Verdict,
    evaluate, request_digest,
};

use crate::documents::{full, request, user, with};

fn approval(policy: &PolicyVersion, request: &StartSession, approver: &str) -> Approval {
    Approval {
        approver: user(approver),
        request: request_digest(request),
        policy: policy.digest(),
        at: Timestamp::from_micros(1),
    }
}

#[track_caller]
fn needed(
    policy: &PolicyVersion,
    request: &StartSession,
    approvals: &[Approval],
) -> ApprovalNeeded {
    match evaluate(policy, request.clone(), approvals) {
        Verdict::NeedsApproval(needed) => needed,
        other => panic!("an approval is needed: {other:?}"),
    }
}

#[test]
fn a_session_waits_for_as_many_people_as_the_policy_wants() {
    let policy = full();
    let deploy = request("alice", "host", &["deploy", "now"]);
    let by = |name| approval(&policy, &deploy, name);
    let none = needed(&policy, &deploy, &[]);
    assert_eq!((none.missing, none.rule.text.as_str()), (2, "approval: when: command: [deploy]"));
    assert_eq!((none.rule.pointer.as_str(), none.rule.line), ("/approval/when/0", Some(9)));
    assert_eq!(needed(&policy, &deploy, &[by("bob")]).missing, 1);
    match evaluate(&policy, deploy.clone(), &[by("bob"), by("carol")]) {
        Verdict::Allow(permit) => assert_eq!(permit.approvers(), [user("bob"), user("carol")]),
        other => panic!("two have approved: {other:?}"),
    }
}

#[test]
fn ones_own_approval_never_counts_whatever_the_policy_says() {
    // alice is named as an approver, and as the only one in the second policy.
    let only = with("by: [bob, carol, alice]\n  count: 2", "by: [alice, \"*\"]");
    for policy in [full(), PolicyVersion::parse(&only).unwrap()] {
        let deploy = request("alice", "host", &["deploy"]);
        let own = approval(&policy, &deploy, "alice");
        let needed = needed(&policy, &deploy, &[own.clone(), own]);
        assert_eq!(needed.granted, []);
        let own = (user("alice"), Discounted::OwnRequest);
        assert_eq!(needed.discounted, [own.clone(), own]);
        let act = ApproveSession {
            approver: user("alice"),
            requester: user("alice"),
            request: request_digest(&deploy),
        };
        match evaluate(&policy, act, &[]) {
            Verdict::Deny(refusal) => {
                assert!(refusal.rule.text.contains("nobody approves"), "{refusal}")
            }
            other => panic!("refused: {other:?}"),
        }
    }
}

#[test]
fn each_person_counts_once_and_only_who_is_named() {
    let policy = full();
    let deploy = request("alice", "host", &["deploy"]);
    let by = |name| approval(&policy, &deploy, name);
    let needed = needed(&policy, &deploy, &[by("bob"), by("bob"), by("mallory")]);
    assert_eq!((needed.missing, needed.granted), (1, vec![user("bob")]));
    let why: Vec<_> = needed.discounted.into_iter().map(|(_, why)| why).collect();
    assert_eq!(why, [Discounted::Repeated, Discounted::NotAnApprover]);
}

#[test]
fn an_approval_is_of_one_request_under_one_policy_version() {
    let policy = full();
    let deploy = request("alice", "host", &["deploy"]);
    let worse = request("alice", "host", &["deploy", "--force"]);
    let other_request = approval(&policy, &worse, "bob");
    let other_policy =
        Approval { policy: Digest::of(b"another"), ..approval(&policy, &deploy, "bob") };
    let needed = needed(&policy, &deploy, &[other_request, other_policy]);
    let why: Vec<_> = needed.discounted.into_iter().map(|(_, why)| why).collect();
    assert_eq!(why, [Discounted::OtherRequest, Discounted::OtherPolicy]);
}

#[test]
fn an_approval_opens_nothing_that_is_refused() {
    let policy = full();
    let curl = request("alice", "prod/x", &["curl", "x"]);
    let approvals = [approval(&policy, &curl, "bob"), approval(&policy, &curl, "carol")];
    assert!(matches!(evaluate(&policy, curl, &approvals), Verdict::Deny(_)));
}

#[test]
fn approvers_may_approve_what_others_asked_for() {
    let act = ApproveSession {
        approver: user("bob"),
        requester: user("alice"),
        request: Digest::of(b"a request"),
    };
    match evaluate(&full(), act, &[]) {
        Verdict::Allow(permit) => assert_eq!(permit.rule(), "approval: by: bob"),
        other => panic!("allowed: {other:?}"),
    }
}
