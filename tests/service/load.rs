//! Many sessions through the API, one after the other and at once: none fails, nothing is left.
//!
//! How fast the API answers meanwhile is the benchmark's to say (`api.get_p99_under_load_ms`): tests are not timed.

use crate::ground::Ground;

const SCRIPT: &str = "cat README.md >/dev/null; echo x >>notes.txt; (setsid sleep 1000 &); true";

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_one_after_the_other_leave_nothing() {
    let mut ground = Ground::new().await;
    for number in 1..=200 {
        let id = ground.create(SCRIPT).await.id;
        let session = ground.until_over(id).await;
        assert_eq!(session.state.name(), "sealed", "session {number}: {session:#?}");
    }
    assert_eq!(ground.installation.sessions().len(), 200);
    ground.assert_whole("two hundred").await;
    ground.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_sessions_at_once_leave_nothing() {
    let mut ground = Ground::new().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(ground.create(SCRIPT).await.id);
    }
    for id in ids {
        let session = ground.until_over(id).await;
        assert_eq!(session.state.name(), "sealed", "{session:#?}");
    }
    ground.assert_whole("twenty at once").await;
    ground.end();
}
