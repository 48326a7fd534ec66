//! The generic step test: each step of each verb fails, before and after its work, and is done twice.
//!
//! Whatever fails, nothing is half done: a session is either unknown, or on record and over or as if nothing had failed;
//! no keeper, mount, group or lease is left of one that is over; and a step that is done twice does no more than once.

use std::collections::BTreeSet;
use std::time::Duration;

use custody_model::SessionId;
use custody_model::state::session::SessionState;
use custody_session::{SessionError, When};
use custody_tests::census::Census;

use crate::ground::{Ground, author, user};

/// A story that goes through every verb.
async fn story(ground: &Ground) -> Vec<(SessionId, Result<(), SessionError>)> {
    let orchestrator = &ground.orchestrator;
    let mut told = Vec::new();
    let dana = author("dana");
    let boss = author("boss");
    let create = async |script: &str| {
        orchestrator.create(&dana, ground.asks("dana", script)).await.map(|created| created.row.id)
    };
    // Rejected.
    if let Ok(id) = create("true").await {
        let result = orchestrator.reject(&boss, id, &user("boss"), "no").await;
        let rejected = result.is_ok();
        told.push((id, result.map(drop)));
        if rejected {
            let erased = orchestrator.erase(&boss, id, "asked for by dana").await.map(drop);
            told.push((id, erased));
        }
    }
    // Cancelled.
    if let Ok(id) = create("true").await {
        let result = orchestrator.stop(&dana, id, "changed my mind").await;
        told.push((id, result.map(drop)));
    }
    // Refused by the policy.
    let mut refused = ground.asks("dana", "true");
    refused.command = vec!["id".to_owned()];
    if let Ok(created) = orchestrator.create(&dana, refused).await {
        told.push((created.row.id, Ok(())));
    }
    // Approved, run, signalled, stopped.
    if let Ok(id) = create("trap 'echo got >>got' USR1; while :; do sleep 0.1; done").await {
        let approved = orchestrator.approve(&boss, id, &user("boss"), "").await.map(drop);
        let ran = approved.is_ok()
            && matches!(
                ground
                    .until(id, "running, or its failure", |state| {
                        matches!(state, SessionState::Running { .. }) || state.is_final()
                    })
                    .await
                    .state,
                SessionState::Running { .. }
            );
        told.push((id, approved));
        if ran {
            let signalled = orchestrator.signal(&dana, id, 10).await.map(drop);
            told.push((id, signalled));
            let stopped = orchestrator.stop(&dana, id, "enough").await.map(drop);
            told.push((id, stopped));
        }
    }
    told
}

/// Ends what still waits or runs after a fault, as its people would.
async fn end_all(ground: &Ground) {
    for id in ground.installation.sessions() {
        let Ok(row) = ground.orchestrator.row(id).await else { continue };
        if !row.state.is_final() {
            // It may end by itself meanwhile.
            let _over = ground.orchestrator.stop(&author("dana"), id, "the test ends").await;
        }
        ground.until_over(id).await;
    }
}

/// What must hold after any story.
async fn assert_whole(ground: &Ground, what: &str) {
    let orchestrator = &ground.orchestrator;
    for id in ground.installation.sessions() {
        let row = orchestrator.row(id).await;
        let row =
            row.unwrap_or_else(|_| panic!("{what}: {id} has a directory and is not on record"));
        let record = orchestrator.record(id);
        if record.exists() {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
            while orchestrator.row(id).await.unwrap().root.is_none() {
                assert!(tokio::time::Instant::now() < deadline, "{what}: {row:#?} is not sealed");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let _ = ground.installation.verify(id).succeeded();
        } else {
            // It never had a keeper: the control log tells why.
            assert!(
                matches!(row.state, SessionState::Failed { .. } | SessionState::Refused { .. }),
                "{what}: {row:#?}"
            );
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let leases = orchestrator.plane().store().leases().await.unwrap();
        let mut census = Census::of(&ground.installation);
        // The store and the keys are this process's own.
        census.descriptors.clear();
        if leases.is_empty() && census.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: {leases:#?} {census:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The steps that a story goes through, each once.
async fn steps() -> BTreeSet<String> {
    let ground = Ground::new(1).await;
    for (id, result) in story(&ground).await {
        assert!(result.is_ok(), "{id}: {result:?}");
    }
    end_all(&ground).await;
    assert_whole(&ground, "without a fault").await;
    ground.orchestrator.shut_down().await;
    let seen = ground.trap.seen.lock().unwrap();
    seen.iter().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_step_fails_nothing_is_half_done() {
    let steps = steps().await;
    let every: BTreeSet<String> = custody_session::steps::every_step().into_iter().collect();
    assert_eq!(steps, every, "the story goes through every step");
    let verbs: BTreeSet<&str> = steps.iter().filter_map(|s| s.split('.').next()).collect();
    let wanted = ["approve", "cancel", "create", "erase", "launch", "reject", "signal", "stop"];
    assert_eq!(verbs.into_iter().collect::<Vec<_>>(), wanted);
    for step in &steps {
        for when in [When::Before, When::After] {
            let what = format!("{step} {when:?}");
            let ground = Ground::new(1).await;
            *ground.trap.fails.lock().unwrap() = Some((step.clone(), when));
            story(&ground).await;
            assert_eq!(*ground.trap.fails.lock().unwrap(), None, "{what} was never reached");
            end_all(&ground).await;
            assert_whole(&ground, &what).await;
            ground.orchestrator.shut_down().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_done_twice_does_what_it_does_once() {
    for step in steps().await {
        let ground = Ground::new(1).await;
        *ground.trap.twice.lock().unwrap() = Some(step.clone());
        for (id, result) in story(&ground).await {
            assert!(result.is_ok(), "{step}: {id}: {result:?}");
        }
        end_all(&ground).await;
        assert_whole(&ground, &step).await;
        ground.orchestrator.shut_down().await;
        let plane = ground.orchestrator.plane();
        let events = plane.log().read(0, usize::MAX).unwrap();
        let mut once = BTreeSet::new();
        for event in &events {
            let body = serde_json::to_string(&event.body).unwrap();
            // A signal may be sent twice: that is what the sender asked for.
            let signal = body.contains("session.signalled");
            assert!(once.insert(body.clone()) || signal, "{step}: {body} is on record twice");
        }
    }
}
