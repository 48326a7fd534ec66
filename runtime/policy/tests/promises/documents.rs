//! Documents and sessions that the other tests use, and how values are made at random.

use custody_model::{Limits, UserName};
use custody_policy::{PolicyVersion, StartSession};

/// Every field is used.
pub(crate) const FULL: &str = r#"version: custody/policy/v1
name: payments
description: Agents on the payment service.
requesters:
  users: [alice, "*@example.org"]
approval:
  required: when
  when:
    - command: [deploy]
    - image: "prod/*"
  by: [bob, carol, alice]
  count: 2
images: [host, "prod/*", "debian:12"]
commands:
  - allow: ["*"]
  - deny: [curl]
  - deny: [git, push]
  - allow_exactly: [curl, --version]
paths:
  - deny: "secrets/**"
  - read_only: .github/
  - read_write: .github/ISSUE_TEMPLATE
mediation: observed
limits:
  default: { cpu: 1.5, memory: 1GiB, processes: 256, disk: 2GiB, wall: 30m, idle: 10m }
  max: { cpu: "4", memory: 4GiB, processes: 1024, disk: 10GiB, wall: 2h, idle: 1h }
environment:
  enter: [TERM, "LC_*", "GITHUB_*"]
  set: { CI: "true", TERM_PROGRAM: custody }
retention: { content: 6y, hold: "case 7", early_erasure: refused }
"#;

pub(crate) fn full() -> PolicyVersion {
    PolicyVersion::parse(FULL).expect("the document is valid")
}

/// [`FULL`] with a part replaced.
pub(crate) fn with(from: &str, to: &str) -> String {
    assert!(FULL.contains(from), "{from}");
    FULL.replacen(from, to, 1)
}

pub(crate) fn user(name: &str) -> UserName {
    name.parse().expect("a name")
}

pub(crate) fn request(requester: &str, image: &str, command: &[&str]) -> StartSession {
    StartSession {
        requester: user(requester),
        repository: "payments".to_owned(),
        base_commit: "a".repeat(40).parse().expect("an id"),
        base_tree: "b".repeat(40).parse().expect("an id"),
        dirty: false,
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        image: image.to_owned(),
        environment: Vec::new(),
        limits: Limits::default(),
        strict: false,
    }
}
