//! Whoever dies: sessions go on without their server, and a dead keeper's record is closed by another.

use std::collections::BTreeMap;
use std::sync::Arc;

use custody_model::state::session::SessionState;
use custody_record::event::Body;
use custody_session::NoFaults;

use crate::ground::{Ground, author, open, options};

fn running(state: &SessionState) -> bool {
    matches!(state, SessionState::Running { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_without_a_server_and_the_next_one_adopts_them() {
    let ground = Ground::new(0).await;
    let script = "while ! test -e go; do sleep 0.05; done; echo done >result";
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(ground.create("dana", script).await.id);
    }
    for id in &ids {
        ground.until(*id, "running", running).await;
    }
    ground.orchestrator.shut_down().await;
    let again = open(&ground.installation, Arc::new(NoFaults), options()).await;
    again.start().await.unwrap();
    let mut growth = BTreeMap::new();
    for id in &ids {
        growth.insert(*id, again.growth(*id).expect("it is adopted"));
        assert!(running(&again.row(*id).await.unwrap().state));
    }
    for id in &ids {
        again.stop(&author("dana"), *id, "enough").await.unwrap();
    }
    for (id, mut growth) in growth {
        while growth.changed().await.is_ok() {}
        let row = again.row(id).await.unwrap();
        assert!(matches!(row.state, SessionState::Sealed { .. }), "{row:#?}");
        let _ = ground.installation.verify(id).succeeded();
    }
    assert!(again.plane().store().leases().await.unwrap().is_empty());
    again.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_keeper_leaves_an_interrupted_session_whose_record_tells_the_difference() {
    let ground = Ground::new(0).await;
    let script = "echo before >written; touch ready; sleep 1000";
    let id = ground.create("dana", script).await.id;
    ground.until(id, "running", running).await;
    let dir = ground.orchestrator.state().session(id);
    let ready = dir.workspace().join("upper/ready");
    let deadline = tokio::time::Instant::now() + crate::ground::PATIENCE;
    while !ready.exists() {
        assert!(tokio::time::Instant::now() < deadline, "the script never got there");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(custody_tests::keeper::kill(id), "the session has a keeper");
    let row = ground.until_over(id).await;
    assert!(matches!(row.state, SessionState::Interrupted { .. }), "{row:#?}");
    let verified = ground.installation.verify(id);
    assert_eq!(verified.code, Some(69), "intact and not complete: {}", verified.text());
    let reader = custody_record::Reader::open(&ground.orchestrator.record(id)).unwrap();
    let events: Vec<_> = reader.events().unwrap().map(Result::unwrap).collect();
    let compared = events.iter().any(|event| matches!(event.body, Body::WorkspaceCompared(_)));
    let gap = events.iter().any(|event| matches!(event.body, Body::RecorderGap(_)));
    assert!(compared && gap, "{events:#?}");
    assert!(!dir.run().exists(), "nothing is left that only its life needed");
    assert!(ground.orchestrator.plane().store().leases().await.unwrap().is_empty());
    ground.orchestrator.shut_down().await;
}

/// Made up, and put together here so that no scanner takes this file for a leak.
fn token() -> String {
    ["ghp", "_", "x4T9bK2mQ7wZ1rV8cN5yH3jL6pD0sF4gAe2u"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_redacted_is_no_difference_after_a_keeper_was_killed_and_is_told_by_nothing() {
    const GIVEN: &str = "plain words and nobody's pattern";
    let ground = Ground::new(0).await;
    let policy = "version: custody/policy/v1\nname: paths\nrequesters: {users: ['*']}\nimages: ['host']\n\
        commands:\n  - {allow: [sh]}\nenvironment: {enter: [SETTING]}\n\
        redaction:\n  patterns:\n    - {name: case, pattern: 'CASE-\\d{4}-\\d{6}'}\n";
    let (token, case) = (token(), "CASE-2026-118277");
    // Names of files and directories, moved, linked and removed; what a link points to.
    let script = format!(
        "mkdir {token} && echo one >{token}/kept && echo two >{token}/gone && rm {token}/gone
         echo three >{case}.txt; mv {case}.txt moved-{case}.txt; ln -s {token}/kept link
         echo four >\"$SETTING\"; mkdir old; echo five >old/x; mv old \"new $SETTING\"
         printf 'six' >unrecorded; echo >ready; sleep 1000"
    );
    let mut asked = ground.asks("dana", &script);
    asked.policy = Some(custody_policy::PolicyVersion::parse(policy).unwrap());
    asked.environment.insert("SETTING".to_owned(), GIVEN.to_owned());
    let id = ground.orchestrator.create(&author("dana"), asked).await.unwrap().row.id;
    let dir = ground.orchestrator.state().session(id);
    let recorded = || {
        // A record that its keeper is just beginning can't be opened yet.
        let Ok(reader) = custody_record::Reader::open(&ground.orchestrator.record(id)) else {
            return Vec::new();
        };
        reader.events().into_iter().flatten().map_while(Result::ok).collect::<Vec<_>>()
    };
    // All of it is on record: then there is no difference at all.
    let deadline = tokio::time::Instant::now() + crate::ground::PATIENCE;
    while !recorded().iter().any(
        |event| matches!(&event.body, Body::FileWritten(written) if written.path.to_string() == "ready"),
    ) {
        assert!(tokio::time::Instant::now() < deadline, "the script never got there");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(custody_tests::keeper::kill(id), "the session has a keeper");
    // Behind the dead keeper's back: a difference that is one, at a path that is redacted.
    std::fs::write(dir.workspace().join("upper").join(format!("late {GIVEN}")), "late").unwrap();
    ground.until_over(id).await;
    let events = recorded();
    let compared = events.iter().find_map(|event| {
        if let Body::WorkspaceCompared(compared) = &event.body { Some(compared) } else { None }
    });
    let compared = compared.expect("it is compared");
    assert_eq!(compared.difference_count, 1, "{compared:#?}");
    let told = compared.differences[0].path.to_string();
    assert!(told.starts_with("late [redacted:injected-value:"), "{told}");
    assert!(compared.entries >= 8, "{compared:#?}");
    for event in &events {
        let text = serde_json::to_string(event).unwrap();
        for secret in [token.as_str(), case, GIVEN] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert_eq!(ground.installation.verify(id).code, Some(69), "intact and not complete");
    ground.orchestrator.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_is_fair_and_never_longer_than_the_room() {
    let ground = Ground::new(0).await;
    ground.orchestrator.shut_down().await;
    let mut tight = options();
    tight.room.running = 2;
    tight.waiting_per_user = 6;
    let orchestrator = open(&ground.installation, Arc::new(NoFaults), tight).await;
    orchestrator.start().await.unwrap();
    let ask = async |who: &str| {
        let asked = ground.asks(who, "sleep 0.3");
        orchestrator.create(&author(who), asked).await.map(|created| created.row.id)
    };
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(ask("greedy").await.unwrap());
    }
    let modest = ask("modest").await.unwrap();
    ids.push(modest);
    if let Some(place) = orchestrator.place(modest).await.unwrap() {
        assert!(
            place.place <= 2,
            "one of a new user stands before the rest of a greedy one: {place:?}"
        );
    }
    let mut most = 0;
    loop {
        most = most.max(orchestrator.plane().store().leases().await.unwrap().len());
        let mut over = true;
        for id in &ids {
            over &= orchestrator.row(*id).await.unwrap().state.is_final();
        }
        if over {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(most, 2);
    orchestrator.shut_down().await;
}
