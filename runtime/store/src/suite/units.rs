//! Units of work: whole or not at all.

use custody_record::control::Idempotency;

use super::rows::{
    all_of_one_session, blob, commit, digest, file, policy, project, project_name, repository,
    save, session, session_id, token, token_id, unit, user, user_name,
};
use crate::{Change, Store, StoreError, UnitOfWork};

async fn is_empty(store: &dyn Store) -> bool {
    store.dump().await.expect("a dump").is_empty()
}

/// A unit of the control log that does not begin where the store is saves nothing.
pub async fn a_unit_from_a_stale_control_event_saves_nothing(store: &dyn Store) {
    let from =
        |first, next, changes| UnitOfWork { control: Some((first, next)), record: None, changes };
    assert_eq!(store.applied().await.expect("a number"), 0);
    let error = store.save(from(1, 2, all_of_one_session(1))).await.expect_err("it is at 0");
    assert!(matches!(error, StoreError::Stale { found: 0, wanted: 1, .. }), "{error}");
    assert!(is_empty(store).await);

    store.save(from(0, 3, vec![Change::Project(project("a", 1))])).await.expect("it is at 0");
    assert_eq!(store.applied().await.expect("a number"), 3);
    for stale in [0, 2, 4] {
        let error = store.save(from(stale, 9, all_of_one_session(1))).await.expect_err("at 3");
        assert!(matches!(error, StoreError::Stale { found: 3, .. }), "{error}");
    }
    assert_eq!(store.applied().await.expect("a number"), 3);
    assert_eq!(store.dump().await.expect("a dump").len(), 1);
    store.save(from(3, 4, Vec::new())).await.expect("a unit without changes moves it on");
    assert_eq!(store.applied().await.expect("a number"), 4);
}

/// A unit of a session's record that does not begin where its row is saves nothing.
pub async fn a_unit_from_a_stale_event_of_a_record_saves_nothing(store: &dyn Store) {
    let from = |events, next| {
        let mut row = session(1);
        row.events = next;
        let changes = vec![
            Change::File(Box::new(file(1, b"a", events, next))),
            Change::Session(Box::new(row)),
        ];
        UnitOfWork { control: None, record: Some((session_id(1), events)), changes }
    };
    let error = store.save(from(5, 6)).await.expect_err("without a row it is at 0");
    assert!(matches!(error, StoreError::Stale { found: 0, wanted: 5, .. }), "{error}");
    assert!(is_empty(store).await);
    store.save(from(0, 5)).await.expect("it is at 0");
    let before = store.dump().await.expect("a dump");
    for stale in [0, 4, 6] {
        let error = store.save(from(stale, 7)).await.expect_err("it is at 5");
        assert!(matches!(error, StoreError::Stale { found: 5, .. }), "{error}");
        assert_eq!(store.dump().await.expect("a dump"), before);
    }
    store.save(from(5, 6)).await.expect("it is at 5");
    assert_eq!(store.session(session_id(1)).await.expect("a read").expect("a row").events, 6);
}

/// Several writers that began at the same event: one saves, the others are told, and nothing is mixed.
pub async fn of_units_from_the_same_event_one_is_saved(store: &dyn Store) {
    for round in 0..20_u64 {
        let from = |writer: u64| UnitOfWork {
            control: Some((round, round + 1)),
            record: None,
            changes: all_of_one_session(round * 10 + writer),
        };
        let (a, b, c) = tokio::join!(store.save(from(1)), store.save(from(2)), store.save(from(3)));
        let saved = [&a, &b, &c].into_iter().filter(|result| result.is_ok()).count();
        assert_eq!(saved, 1, "{a:?} {b:?} {c:?}");
        for refused in [a, b, c].into_iter().filter_map(Result::err) {
            assert!(matches!(refused, StoreError::Stale { .. }), "{refused:?}");
        }
        let rows = (usize::try_from(round).expect("small") + 1) * all_of_one_session(0).len();
        assert_eq!(store.dump().await.expect("a dump").len(), rows);
    }
}

/// An error in the last change undoes the first, and what the unit said about the logs.
pub async fn a_unit_that_fails_half_way_saves_nothing(store: &dyn Store) {
    let key = Some(Idempotency { key: "k".to_owned(), request: digest(1) });
    let mut first = session(1);
    first.idempotency.clone_from(&key);
    save(store, vec![Change::Session(Box::new(first))]).await;
    let before = store.dump().await.expect("a dump");

    let mut second = session(2);
    second.idempotency = key;
    let mut changes = all_of_one_session(3);
    changes.push(Change::Session(Box::new(second)));
    let unit = UnitOfWork { control: Some((0, 5)), record: None, changes };
    let error = store.save(unit).await.expect_err("the key is taken");
    assert!(matches!(error, StoreError::KeyTaken { .. }), "{error}");
    assert_eq!(store.dump().await.expect("a dump"), before);
    assert_eq!(store.applied().await.expect("a number"), 0);
}

fn each_kind(n: u64) -> Vec<Change> {
    let mut session = session(1);
    session.reason = Some(n.to_string());
    session.updated_at = super::rows::second(n);
    let (mut policy, mut token) = (policy("core", 1), token("ada", 1));
    policy.name = n.to_string();
    token.label = n.to_string();
    let mut commit = commit(1, 1, 1);
    commit.seq = n;
    vec![
        Change::Project(project("core", n)),
        Change::Policy(policy),
        Change::User(user("ada", n)),
        Change::Token(token),
        Change::Repository(repository("parser", "core", n)),
        Change::Session(Box::new(session)),
        Change::File(Box::new(file(1, b"a", n, n))),
        Change::Commit(commit),
        Change::Blob(blob(1, 1, b"a", n)),
    ]
}

/// Saving a row again, changed, leaves one row.
pub async fn a_row_replaces_the_one_with_its_key(store: &dyn Store) {
    save(store, each_kind(1)).await;
    let first = store.dump().await.expect("a dump");
    save(store, each_kind(2)).await;
    let second = store.dump().await.expect("a dump");
    assert_eq!((first.len(), second.len()), (9, 9));
    assert!(first.iter().all(|line| !second.contains(line)), "{first:#?} {second:#?}");
    save(store, each_kind(1)).await;
    assert_eq!(store.dump().await.expect("a dump"), first);
}

/// Changes are made in order.
pub async fn of_two_rows_with_one_key_in_a_unit_the_later_stays(store: &dyn Store) {
    save(store, each_kind(2)).await;
    let later = store.dump().await.expect("a dump");
    // Side by side, and with the other kinds between them.
    let mut pairs: Vec<Change> =
        each_kind(1).into_iter().zip(each_kind(2)).flat_map(|(a, b)| [a, b]).collect();
    save(store, pairs.clone()).await;
    assert_eq!(store.dump().await.expect("a dump"), later);
    pairs = each_kind(1).into_iter().chain(each_kind(2)).collect();
    save(store, pairs).await;
    assert_eq!(store.dump().await.expect("a dump"), later);
}

/// A requester's key names one session, for good; other requesters have keys of their own.
pub async fn an_idempotency_key_names_one_session_of_a_requester(store: &dyn Store) {
    let with_key = |n, requester: &str, key: &str| {
        let mut row = session(n);
        row.request.requester = user_name(requester);
        row.idempotency = Some(Idempotency { key: key.to_owned(), request: digest(n) });
        row
    };
    let save = async |row| store.save(unit(vec![Change::Session(Box::new(row))])).await;
    let found = async |requester: &str, key: &str| {
        let row = store.session_by_key(&user_name(requester), key).await.expect("a read");
        row.map(|row| row.id)
    };
    save(with_key(1, "ada", "k")).await.expect("a new key");
    save(with_key(2, "bob", "k")).await.expect("a key of somebody else");
    save(with_key(3, "ada", "K")).await.expect("another key");
    save(session(4)).await.expect("no key");
    save(session(5)).await.expect("no key, like others");
    match save(with_key(6, "ada", "k")).await {
        Err(StoreError::KeyTaken { requester, key, session }) => {
            assert_eq!((requester, key.as_str()), (user_name("ada"), "k"));
            assert_eq!(session, session_id(6));
        }
        other => panic!("the key is taken: {other:?}"),
    }
    assert_eq!(store.session(session_id(6)).await.expect("a read"), None);
    let mut again = with_key(1, "ada", "k");
    again.project = project_name("other");
    save(again.clone()).await.expect("the same session again");
    assert_eq!(store.session_by_key(&user_name("ada"), "k").await.expect("a read"), Some(again));
    assert_eq!(found("ada", "k").await, Some(session_id(1)));
    assert_eq!(found("bob", "k").await, Some(session_id(2)));
    assert_eq!(found("ada", "K").await, Some(session_id(3)));
    assert_eq!(found("bob", "K").await, None);
    assert_eq!(store.token(&token_id(1)).await.expect("a read"), None);
}
