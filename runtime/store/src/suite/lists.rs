//! Reads and lists of projects, policies, users, tokens and repositories.

use super::pages::{walk, walk_while};
use super::rows::{
    all_of_one_session, digest, oid, path, policy, project, project_name, repository, save,
    session_id, token, token_id, user, user_name,
};
use crate::{Change, Cursor, MAX_PAGE, PageRequest, SessionFilter, Store, StoreError, Visibility};

/// Each read of one row gives the row that was saved.
pub async fn every_row_is_read_as_it_was_saved(store: &dyn Store) {
    save(store, (0..12).flat_map(all_of_one_session).collect()).await;
    for change in (0..12).flat_map(all_of_one_session) {
        match change {
            Change::Project(row) => {
                assert_eq!(store.project(&row.name).await.expect("a read"), Some(row));
            }
            Change::Policy(row) => {
                let found = store.policy(&row.project, &row.digest).await.expect("a read");
                assert_eq!(found, Some(row));
            }
            Change::User(row) => {
                assert_eq!(store.user(&row.name).await.expect("a read"), Some(row));
            }
            Change::Token(row) => {
                assert_eq!(store.token(&row.id).await.expect("a read"), Some(row));
            }
            Change::Repository(row) => {
                assert_eq!(store.repository(&row.name).await.expect("a read"), Some(row));
            }
            Change::Session(row) => {
                assert_eq!(store.session(row.id).await.expect("a read"), Some(*row));
            }
            Change::File(row) => {
                let files = store.files(row.session, &PageRequest::first(9)).await.expect("a read");
                assert!(files.items.contains(&row), "{row:?} is not in {files:?}");
            }
            Change::Commit(row) => {
                assert_eq!(store.commits(row.session).await.expect("a read"), vec![row]);
            }
            Change::Blob(row) => {
                assert_eq!(store.blobs(row.session).await.expect("a read"), vec![row]);
            }
        }
    }
}

/// What nobody saved is absent, and the store answers.
pub async fn what_is_not_there_is_absent(store: &dyn Store) {
    store.ping().await.expect("it answers");
    let (core, first) = (project_name("core"), PageRequest::first(10));
    assert_eq!(store.project(&core).await.expect("a read"), None);
    assert_eq!(store.policy(&core, &digest(1)).await.expect("a read"), None);
    assert_eq!(store.user(&user_name("ada")).await.expect("a read"), None);
    assert_eq!(store.token(&token_id(1)).await.expect("a read"), None);
    assert_eq!(store.repository("parser").await.expect("a read"), None);
    assert_eq!(store.session(session_id(1)).await.expect("a read"), None);
    assert_eq!(store.session_by_key(&user_name("ada"), "k").await.expect("a read"), None);
    assert!(store.projects(&first).await.expect("a read").items.is_empty());
    assert!(store.policies(&core, &first).await.expect("a read").items.is_empty());
    assert!(store.users(&first).await.expect("a read").items.is_empty());
    assert!(store.tokens(None, &first).await.expect("a read").items.is_empty());
    assert!(store.repositories(None, &first).await.expect("a read").items.is_empty());
    assert!(store.files(session_id(1), &first).await.expect("a read").items.is_empty());
    let all = SessionFilter::all(Visibility::everything());
    let page = store.sessions(&all, &first).await.expect("a read");
    assert!(page.items.is_empty() && page.next.is_none());
    assert!(store.sessions_in(&["running"]).await.expect("a read").is_empty());
    assert!(store.sessions_in(&[]).await.expect("a read").is_empty());
    assert!(store.commits(session_id(1)).await.expect("a read").is_empty());
    assert!(store.blobs(session_id(1)).await.expect("a read").is_empty());
    assert!(store.commit(&oid(1)).await.expect("a read").is_empty());
    assert!(store.tree(&oid(1)).await.expect("a read").is_empty());
    assert!(store.written(&path(b"a"), &oid(1)).await.expect("a read").is_empty());
    assert!(store.leases().await.expect("a read").is_empty());
}

/// Names sort by their bytes, whatever the language of the database.
pub async fn names_are_listed_byte_by_byte(store: &dyn Store) {
    let long = "é".repeat(128);
    let mut names = ["b", "B", "a b", "a", "A", "ä", "Z", "z", "_", "'", "%", "\u{10ffff}", &long];
    let users = names.iter().map(|name| Change::User(user(name, 1)));
    let repositories = names[..12].iter().map(|name| Change::Repository(repository(name, "p", 1)));
    save(store, users.chain(repositories).collect()).await;
    names.sort_unstable();
    let users = walk(1, async |page| store.users(&page).await).await;
    assert!(users.iter().map(|row| row.name.as_str()).eq(names));
    let repositories = walk(1, async |page| store.repositories(None, &page).await).await;
    let shorter = names.into_iter().filter(|name| *name != long);
    assert!(repositories.iter().map(|row| row.name.as_str()).eq(shorter));
}

/// Policies and tokens of the same moment are listed in one order, whatever the page.
pub async fn the_newest_is_listed_first(store: &dyn Store) {
    let (policies, tokens) = ((0..40).map(|n| policy("core", n)), (0..40).map(|n| token("ada", n)));
    let others = [Change::Policy(policy("other", 50)), Change::Token(token("bob", 50))];
    let changes = policies.map(Change::Policy).chain(tokens.map(Change::Token)).chain(others);
    save(store, changes.collect()).await;
    let core = project_name("core");
    let policies = walk(7, async |page| store.policies(&core, &page).await).await;
    assert_eq!(policies.len(), 40);
    assert!(policies.is_sorted_by(|a, b| a.created_at >= b.created_at));
    let ada = user_name("ada");
    let tokens = walk(7, async |page| store.tokens(Some(&ada), &page).await).await;
    assert_eq!(tokens.len(), 40);
    assert!(tokens.is_sorted_by(|a, b| a.issued_at >= b.issued_at));
    let all = walk(7, async |page| store.tokens(None, &page).await).await;
    assert_eq!(all.len(), 41);
    assert!(all.is_sorted_by(|a, b| a.issued_at >= b.issued_at));
}

/// Pages of every size give the same list, each row once.
pub async fn pages_of_every_size_make_up_the_list(store: &dyn Store) {
    let (name, projects) = (|n: u64| format!("x{}", n * 7919 % 101), ["core", "other"]);
    let changes = (0..60_u64).flat_map(|n| {
        let project_of = projects[usize::from(n % 3 == 0)];
        [
            Change::Project(project(&name(n), n)),
            Change::User(user(&name(n), n)),
            Change::Repository(repository(&name(n), project_of, n)),
            Change::Token(token(project_of, n)),
            Change::Policy(policy(project_of, n)),
        ]
    });
    save(store, changes.collect()).await;
    let (core, other) = (project_name("core"), project_name("other"));
    let whole = MAX_PAGE;
    for limit in [1, 2, 3, 19, 20, 21, 39, 40, 41, 59, 60, 61, MAX_PAGE] {
        let read = async |page: PageRequest| store.projects(&page).await;
        assert_eq!(walk(limit, read).await, walk(whole, read).await);
        assert_eq!(walk(limit, read).await.len(), 60);
        let read = async |page: PageRequest| store.users(&page).await;
        assert_eq!(walk(limit, read).await, walk(whole, read).await);
        let read = async |page: PageRequest| store.repositories(None, &page).await;
        assert_eq!(walk(limit, read).await, walk(whole, read).await);
        let read = async |page: PageRequest| store.repositories(Some(&core), &page).await;
        assert_eq!(walk(limit, read).await, walk(whole, read).await);
        assert_eq!(walk(limit, read).await.len(), 40);
        let read = async |page: PageRequest| store.tokens(Some(&user_name("other")), &page).await;
        assert_eq!(walk(limit, read).await, walk(whole, read).await);
        assert_eq!(walk(limit, read).await.len(), 20);
        let read = async |page: PageRequest| store.policies(&other, &page).await;
        assert_eq!(walk(limit, read).await, walk(whole, read).await);
        assert_eq!(walk(limit, read).await.len(), 20);
    }
}

/// Whoever pages through a list while rows are added gets each that was there from the start once.
pub async fn rows_that_come_meanwhile_hide_and_double_none(store: &dyn Store) {
    let old: Vec<String> = (0..50).map(|n| format!("m{:03}", n * 2)).collect();
    let changes = old.iter().zip(0..).flat_map(|(name, n)| {
        [Change::User(user(name, 1)), Change::Token(token("ada", 1_000 + n))]
    });
    save(store, changes.collect()).await;
    let came = std::cell::Cell::new(0_u64);
    let more = async || {
        came.set(came.get() + 1);
        let n = came.get();
        // Before, between and after what is there.
        let names = [format!("a{n:03}"), format!("m{:03}", n * 2 + 1), format!("z{n:03}")];
        let users = names.iter().map(|name| Change::User(user(name, 2)));
        let tokens = [token("ada", 500 + n), token("ada", 9_000 + n)].map(Change::Token);
        save(store, users.chain(tokens).collect()).await;
    };
    let users = walk_while(3, async |page| store.users(&page).await, more).await;
    assert!(users.is_sorted_by(|a, b| a.name < b.name), "in order, none twice");
    let seen: Vec<_> =
        users.iter().filter(|row| row.created_at == super::rows::second(1)).collect();
    assert!(seen.iter().map(|row| row.name.as_str()).eq(&old));
    let tokens = walk_while(4, async |page| store.tokens(None, &page).await, more).await;
    let ids: std::collections::BTreeSet<_> = tokens.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), tokens.len(), "none twice");
    assert!((1_000..1_050).all(|n| ids.contains(&token_id(n))), "none is missing");
}

/// A text that no page gave is an error that says so, and never a page.
pub async fn a_cursor_that_no_page_gave_is_refused(store: &dyn Store) {
    for text in ["x", "0", "-", "~~~~", "k!", "1;DROP", "AAAAAAAAAAAA.BBBB", "n.", "%00"] {
        let after = Some(text.parse::<Cursor>().expect("printable"));
        let page = PageRequest { limit: 5, after };
        let all = SessionFilter::all(Visibility::everything());
        let errors = [
            store.projects(&page).await.err(),
            store.policies(&project_name("core"), &page).await.err(),
            store.users(&page).await.err(),
            store.tokens(None, &page).await.err(),
            store.repositories(None, &page).await.err(),
            store.sessions(&all, &page).await.err(),
            store.files(session_id(1), &page).await.err(),
        ];
        for error in errors {
            assert!(matches!(error, Some(StoreError::Cursor(_))), "{text}: {error:?}");
        }
    }
}
