//! `kill -9` of the server: at each step of each verb, and at random moments while sessions run.

use std::time::Duration;

use custody_model::SessionId;
use custody_record::event::Body;

use crate::ground::{Ground, watch};

/// Goes through every verb as far as the server lives.
async fn story(ground: &Ground) {
    let (client, boss) = (ground.impatient(false), ground.impatient(true));
    let create = async |approve: bool, script: &str| {
        let mut asked = ground.asks(script);
        if approve {
            let rule = "approval: {required: always, by: ['boss*']}\n";
            asked.policy = Some(format!("{}{rule}", crate::ground::POLICY));
        }
        client.create_session(&ground.key(), &asked).await
    };
    // Each of these may find the server dead.
    if let Ok(session) = create(true, "true").await {
        let _rejected = boss.reject(session.id, "no").await;
        let _erased = boss.erase(session.id, "asked for").await;
    }
    if let Ok(session) = create(true, "true").await {
        let _cancelled = client.stop(session.id, "changed my mind").await;
    }
    if let Ok(session) = create(true, "while :; do sleep 0.1; done").await {
        let _approved = boss.approve(session.id, "").await;
        for _ in 0..1000 {
            match client.session(&session.id.to_string()).await {
                Ok(now) if now.state.name() == "running" || now.state.is_final() => break,
                Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(_) => return,
            }
        }
        let _signalled = client.signal(session.id, 10).await;
        let _stopped = client.stop(session.id, "enough").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_die_at_each_step_of_each_verb() {
    let steps = custody_session::steps::every_step();
    assert!(steps.len() >= 15, "{steps:?}");
    let mut ground = Ground::new().await;
    for step in &steps {
        for when in ["before", "after"] {
            let what = format!("{step}:{when}");
            ground.end();
            ground.start(&["--fault", &what]).await;
            story(&ground).await;
            if !ground.until_dead(Duration::from_secs(2)).await {
                panic!("{what} was never reached\n{}", ground.log());
            }
            ground.start(&[]).await;
            for id in ground.installation.sessions() {
                let Ok(session) = ground.client.session(&id.to_string()).await else { continue };
                if !session.state.is_final() {
                    // It may end by itself meanwhile.
                    let _over = ground.client.stop(id, "the test ends").await;
                }
            }
            ground.assert_whole(&what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_die_at_a_hundred_random_moments_and_no_session_or_stream_notices() {
    let mut ground = Ground::new().await;
    let mut moments = Moments(0x9E37_79B9_7F4A_7C15);
    let script = "for i in $(seq 60); do echo $i >>log; cat README.md >/dev/null; sleep 0.05; done";
    let mut watched = Vec::new();
    let mut made: Vec<SessionId> = Vec::new();
    for round in 0..100 {
        if watched.len() < 4 || round % 8 == 0 {
            let id = ground.create(script).await.id;
            made.push(id);
            watched.push(tokio::spawn(watch(ground.client.clone(), id)));
        }
        tokio::time::sleep(Duration::from_millis(moments.next() % 150)).await;
        ground.kill();
        ground.spawn(&[]);
    }
    ground.until_ready().await;
    for watching in watched {
        assert!(watching.await.expect("no event is lost or doubled") > 100);
    }
    for id in made {
        let session = ground.until_over(id).await;
        assert_eq!(session.state.name(), "sealed", "{session:#?}\n{}", ground.log());
        let _ = ground.installation.verify(id).succeeded();
    }
    ground.assert_whole("after a hundred deaths").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_may_die_at_any_moment_and_watchers_see_the_end_of_its_record() {
    let mut ground = Ground::new().await;
    let mut moments = Moments(0xD1B5_4A32_D192_ED03);
    let script = "while :; do cat README.md >>log; sleep 0.01; done";
    for round in 0..20 {
        let id = ground.create(script).await.id;
        let watching = tokio::spawn(watch(ground.client.clone(), id));
        ground.until(id, "running", |session| session.state.name() == "running").await;
        tokio::time::sleep(Duration::from_millis(moments.next() % 300)).await;
        assert!(custody_tests::keeper::kill(id), "round {round}: the session has a keeper");
        if round % 4 == 0 {
            // The server doesn't see it die.
            ground.kill();
            ground.start(&[]).await;
        }
        let session = ground.until_over(id).await;
        assert_eq!(session.state.name(), "interrupted", "round {round}: {session:#?}");
        let seen = watching.await.expect("no event is lost or doubled");
        let record = ground.installation.record(id);
        assert_eq!(seen, record.events().len() as u64, "round {round}");
        let said = |what: fn(&Body) -> bool| record.events().iter().any(|event| what(&event.body));
        assert!(said(|body| matches!(body, Body::RecorderGap(_))), "round {round}");
        assert!(said(|body| matches!(body, Body::WorkspaceCompared(_))), "round {round}");
        let verified = ground.installation.verify(id);
        assert_eq!(verified.code, Some(69), "intact, not complete: {}", verified.text());
    }
    ground.assert_whole("after twenty keepers' deaths").await;
}

/// A sequence of moments that is the same in each run (xorshift64*).
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }
}
