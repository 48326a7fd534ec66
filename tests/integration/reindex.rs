//! The index is derived: what `reindex` makes from the logs is, row by row, what was there.

use std::sync::Arc;

use custody_session::NoFaults;
use custody_store_sqlite::SqliteStore;

use crate::ground::{Ground, author, open, options, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_made_anew_from_the_logs_is_the_same_row_by_row() {
    let ground = Ground::new(0).await;
    let plane = ground.orchestrator.plane();
    let admin = author("admin");
    let grants = custody_control::users::first_admin();
    plane.create_user(&admin, &user("dana"), &grants).await.unwrap();
    plane.switch_user(&admin, &user("dana"), false, "left").await.unwrap();
    let script = "cat README.md; echo x >>notes.txt; git add -A; git commit -qm mine; rm LICENSE";
    let done = ground.create("dana", script).await.id;
    let stopped = ground.create("eve", "sleep 1000").await.id;
    let mut refused = ground.asks("dana", "true");
    refused.command = vec!["id".to_owned()];
    ground.orchestrator.create(&author("dana"), refused).await.unwrap();
    ground
        .until(stopped, "running", |state| {
            matches!(state, custody_model::state::session::SessionState::Running { .. })
        })
        .await;
    ground.orchestrator.stop(&author("boss"), stopped, "enough").await.unwrap();
    ground.until_over(done).await;
    ground.until_over(stopped).await;
    let before = ground.dump().await;
    assert!(before.iter().any(|line| line.contains("notes.txt")), "{before:#?}");
    ground.orchestrator.shut_down().await;

    let store = ground.orchestrator.state().store();
    for suffix in ["", "-wal", "-shm"] {
        let mut path = store.clone().into_os_string();
        path.push(suffix);
        // The two beside it are there only while somebody has it open.
        let _absent = std::fs::remove_file(path);
    }
    drop(SqliteStore::open(&store).await.unwrap());
    let again = open(&ground.installation, Arc::new(NoFaults), options()).await;
    let sessions = custody_session::records::all(again.state()).unwrap();
    let state = again.state().clone();
    let done = again
        .plane()
        .reindex(sessions, &|session| state.session(session).record(), &|_| ())
        .await
        .unwrap();
    assert_eq!((done.sessions, done.unreadable.len()), (3, 0));
    let after = again.plane().store().dump().await.unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
}
