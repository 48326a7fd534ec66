//! Commits and contents.

use super::rows::{blob, commit, oid, path, save, session_id};
use crate::{Change, CommitRow, Store};

/// The commits of a session are in the order of its branch, whatever the order of saving, ids and times.
pub async fn commits_come_in_the_order_of_the_branch(store: &dyn Store) {
    let rows: Vec<CommitRow> = (0..40).map(|seq| commit(1, 90 - seq, seq)).collect();
    save(store, rows.iter().rev().cloned().map(Change::Commit).collect()).await;
    save(store, vec![Change::Commit(commit(2, 90, 1))]).await;
    assert_eq!(store.commits(session_id(1)).await.expect("a read"), rows);
    assert_eq!(store.commits(session_id(2)).await.expect("a read"), [commit(2, 90, 1)]);
    assert!(store.commits(session_id(3)).await.expect("a read").is_empty());
}

/// A commit that two sessions made is found for both, by its id, its tree and its contents: exactly these, the oldest
/// first.
pub async fn commits_are_found_by_id_tree_and_content(store: &dyn Store) {
    // Numbers 10 and 11 have one tree; session 2 made commit 10 too, later.
    let rows = [commit(1, 10, 5), commit(1, 11, 6), commit(2, 10, 9), commit(3, 30, 1)];
    let blobs = [
        blob(1, 10, b"a", 500),
        blob(1, 10, b"b", 500),
        blob(1, 11, b"a", 501),
        blob(2, 10, b"a", 500),
        blob(3, 30, b"a/b", 500),
    ];
    let changes = rows.iter().rev().cloned().map(Change::Commit);
    save(store, changes.chain(blobs.iter().cloned().map(Change::Blob)).collect()).await;
    let [first, second, again, other] = rows;

    let by_id = async |n| store.commit(&oid(n)).await.expect("a read");
    assert_eq!(by_id(10).await, [first.clone(), again.clone()]);
    assert_eq!(by_id(11).await, std::slice::from_ref(&second));
    assert!(by_id(12).await.is_empty());

    let by_tree = async |row: &CommitRow| store.tree(&row.tree).await.expect("a read");
    assert_eq!(by_tree(&first).await, [first.clone(), second.clone(), again.clone()]);
    assert_eq!(by_tree(&other).await, std::slice::from_ref(&other));
    assert!(store.tree(&oid(10)).await.expect("a read").is_empty());

    let written = async |at: &[u8], n| store.written(&path(at), &oid(n)).await.expect("a read");
    assert_eq!(written(b"a", 500).await, [first.clone(), again]);
    assert_eq!(written(b"b", 500).await, [first]);
    assert_eq!(written(b"a", 501).await, [second]);
    assert_eq!(written(b"a/b", 500).await, [other]);
    assert!(written(b"b", 501).await.is_empty());

    let of_first = store.blobs(session_id(1)).await.expect("a read");
    assert!(of_first.is_sorted_by_key(|row| (row.commit.clone(), row.path.clone())));
    assert_eq!(of_first.len(), 3);
    assert!(blobs[..3].iter().all(|row| of_first.contains(row)));
}
