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
    let mut statements = Vec::new();
    for finding in answer["findings"].as_array().expect("findings") {
        statements.extend(finding["statements"].as_array().expect("statements"));
    }
    assert!(statements.len() > 5, "{answer}");
    for statement in statements {
        let assurance = statement["assurance"].as_str().expect("an assurance");
        assert!(["observed", "self_reported", "inferred", "absent"].contains(&assurance));
        let evidence = statement["evidence"].as_array().expect("evidence");
        // What is absent can't be proved by an event.
        assert_eq!(evidence.is_empty(), assurance == "absent", "{statement}");
        for event in evidence {
            let id = event["id"].as_str().expect("an id");
            assert!(
                known.iter().any(|known| known == id),
                "{id} is not in the record: {statement}"
            );
        }
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

#[test]
fn a_session_whose_record_can_not_be_opened_is_told_and_takes_no_answer_away() {
    let (installation, repository, session) = taken_over();
    let policy = installation.policy(POLICY);
    let _ = installation.run(&repository, &["--policy", &policy], "echo >lost").succeeded();
    let lost = installation.sessions()[1];
    let checkpoint = installation.directory(lost).join("record/checkpoint");
    std::fs::remove_file(checkpoint).expect("a sealed record has one");
    // As long as the index knows what it wrote, nothing is missing.
    let whole = ["investigate", "src/main.c:2", "-o", "json"];
    let whole = installation.custody(repository.path(), &whole).succeeded().json();
    assert_eq!(whole["unread"], serde_json::Value::Null, "{whole}");
    let _ = installation.custody(repository.path(), &["reindex"]).succeeded();
    let ask = |more: &[&str]| {
        let words = [&["investigate", "src/main.c:2"], more].concat();
        installation.custody(repository.path(), &words).succeeded()
    };
    let (text, json) = (ask(&[]), ask(&["-o", "json"]));
    assert!(text.stdout.contains(&session), "{}", text.stdout);
    assert!(text.stderr.contains(&lost.to_string()), "{}", text.stderr);
    let unread = json.json()["unread"].clone();
    assert_eq!(unread[0]["session"], lost.to_string(), "{unread}");
    assert!(unread[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{unread}");
    assert_eq!(json.stderr, "");
}

#[test]
fn a_commit_that_names_a_session_whose_record_is_damaged_is_answered() {
    let (installation, repository, session) = taken_over();
    let checkpoint = installation.directory(installation.session()).join("record/checkpoint");
    std::fs::write(checkpoint, "nothing\n").expect("writable");
    let answer = installation.custody(repository.path(), &["investigate", "HEAD"]);
    assert!(answer.stdout.contains(&session), "{}", answer.text());
    assert!(answer.stderr.contains(&session), "{}", answer.text());
}
