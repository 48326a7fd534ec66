//! `custody investigate`: from a commit or a line to the session, each statement with its event.

use custody_tests::repository::POLICY;
use custody_tests::{Installation, Repository};

/// A session that changed a line of `src/main.c` after reading the guide and trying the key, taken over.
fn taken_over() -> (Installation, Repository, String) {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let script =
        "cat docs/guide.md >/dev/null; cat secrets/key.txt; sed -i 's/two/three/' src/main.c";
    let _ = installation.run(&repository, &["--policy", &policy], script).succeeded();
    let session = installation.session().to_string();
    let _ = installation.custody(repository.path(), &["session", "apply", &session]).succeeded();
    (installation, repository, session)
}

#[test]
fn a_line_names_its_session_and_what_led_to_it() {
    let (installation, repository, session) = taken_over();
    let answer =
        installation.custody(repository.path(), &["investigate", "src/main.c:2"]).succeeded();
    for must in [session.as_str(), "tests", "docs/guide.md", "src/main.c", "secrets/key.txt", "sed"]
    {
        assert!(answer.stdout.contains(must), "the answer lacks {must}: {}", answer.stdout);
    }
}

#[test]
fn every_statement_names_its_event_and_its_assurance() {
    let (installation, repository, session) = taken_over();
    let answer = installation
        .custody(repository.path(), &["investigate", "src/main.c:2", "-o", "json"])
        .succeeded()
        .json();
    assert!(answer.to_string().contains(&session), "{answer}");
    let record = installation.record(installation.session());
    let known: Vec<String> = record.events().iter().map(|event| event.id.to_string()).collect();
    let mut events = Vec::new();
    collect(&answer, "event", &mut events);
    assert!(!events.is_empty(), "no statement names an event: {answer}");
    for event in &events {
        assert!(known.contains(event), "{event} is not in the record");
    }
    let mut assurances = Vec::new();
    collect(&answer, "assurance", &mut assurances);
    assert!(assurances.iter().any(|assurance| assurance == "observed"), "{answer}");
}

/// Every text under a member called `key`, wherever it is.
fn collect(value: &serde_json::Value, key: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                match member {
                    serde_json::Value::String(text) if name == key => found.push(text.clone()),
                    other => collect(other, key, found),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

#[test]
fn a_commit_of_a_session_names_it() {
    let (installation, repository, session) = taken_over();
    let answer = installation.custody(repository.path(), &["investigate", "HEAD"]).succeeded();
    assert!(answer.stdout.contains(&session), "{}", answer.stdout);
}

#[test]
fn a_line_that_no_session_wrote_is_attributed_to_none() {
    let (installation, repository, session) = taken_over();
    let answer = installation.custody(repository.path(), &["investigate", "src/main.c:1"]);
    assert!(!answer.stdout.contains(&session), "a wrong attribution: {}", answer.stdout);
}

#[test]
fn a_line_is_found_after_others_moved_it() {
    let (installation, repository, session) = taken_over();
    let text = std::fs::read_to_string(repository.path().join("src/main.c")).expect("readable");
    repository.file("src/main.c", &format!("/* Moved. */\n\n{text}"));
    repository.commit("Push everything down");
    let answer =
        installation.custody(repository.path(), &["investigate", "src/main.c:4"]).succeeded();
    assert!(answer.stdout.contains(&session), "{}", answer.stdout);
}
