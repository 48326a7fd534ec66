//! What is particular to one SQLite file: who may read it, which versions open it, what is in it that does not parse.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use custody_model::{Timestamp, WorkspacePath};
use custody_store::{PageRequest, Store, StoreError, suite};
use custody_store_sqlite::{OpenError, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_owner_can_read_the_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("state/store/index.sqlite");
    let store = SqliteStore::open(&path).await.unwrap();
    store.save(suite::unit(suite::all_of_one_session(1))).await.unwrap();
    assert_eq!(mode(&directory.path().join("state")), 0o700);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let mut files = 0;
    for entry in path.parent().unwrap().read_dir().unwrap() {
        files += 1;
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
    }
    assert_eq!(files, 3, "the database, its log and the log's index");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_saved_is_there_when_it_is_opened_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.sqlite");
    let store = SqliteStore::open(&path).await.unwrap();
    store.save(suite::unit(suite::all_of_one_session(1))).await.unwrap();
    let before = store.dump().await.unwrap();
    // While it is open, and after it was closed.
    let second = SqliteStore::open(&path).await.unwrap();
    assert_eq!(second.dump().await.unwrap(), before);
    store.close().await;
    second.close().await;
    assert!(store.ping().await.is_err(), "what is closed does not answer");
    let third = SqliteStore::open(&path).await.unwrap();
    assert_eq!(third.dump().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_newer_version_migrated_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.sqlite");
    SqliteStore::open(&path).await.unwrap().close().await;
    let mut connection = raw(&path).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (99, 'later', TRUE, x'00', 0)";
    connection.execute(newer).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("newer version") && text.contains("custody reindex"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_from_before_retention_is_brought_up_to_date() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.sqlite");
    let store = SqliteStore::open(&path).await.unwrap();
    // A session that is over, under a policy that says nothing of retention.
    store.save(suite::unit(suite::all_of_one_session(15))).await.unwrap();
    let before = store.dump().await.unwrap();
    store.close().await;
    let mut connection = raw(&path).await;
    for undo in [
        "DROP INDEX session_held",
        "DROP INDEX session_free",
        "DROP INDEX session_kept",
        "ALTER TABLE session DROP COLUMN erased_at",
        "ALTER TABLE session DROP COLUMN hold",
        "ALTER TABLE session DROP COLUMN closed_at",
        "ALTER TABLE project DROP COLUMN hold",
        "DROP INDEX policy_class",
        "ALTER TABLE policy DROP COLUMN early_erasure",
        "ALTER TABLE policy DROP COLUMN hold",
        "ALTER TABLE policy DROP COLUMN content_seconds",
        "DELETE FROM _sqlx_migrations WHERE version = 2",
    ] {
        connection.execute(undo).await.unwrap_or_else(|error| panic!("{undo}: {error}"));
    }
    connection.close().await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.dump().await.unwrap(), before);
    store.close().await;
    let mut connection = raw(&path).await;
    let over = "SELECT count(*) FROM session WHERE closed_at = updated_at";
    let over: i64 = sqlx::query_scalar(over).fetch_one(&mut connection).await.unwrap();
    assert_eq!(over, 1, "it counts from its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_database_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.sqlite");
    let text = "this is not a database, it is a letter\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let error = SqliteStore::open(&path.join("below/a/file")).await.unwrap_err();
    assert!(matches!(error, OpenError::Make { .. }), "{error:?}");
}

/// Reads everything in every way; the first thing that did not parse.
async fn first_corrupt(store: &SqliteStore) -> Option<String> {
    let page = PageRequest::first(5);
    let long_ago = Timestamp::from_micros(0);
    let results = [
        store.applied().await.err(),
        store.dump().await.err(),
        store.leases().await.err(),
        store.files(suite::session_id(1), &page).await.err(),
        store
            .touches(
                "parser",
                &[WorkspacePath::root()],
                long_ago,
                long_ago,
                suite::session_id(2),
                1,
            )
            .await
            .err(),
    ];
    results.into_iter().flatten().next().map(|error| match error {
        StoreError::Corrupt { what, .. } => what,
        other => panic!("{other:?}"),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_parse_is_named_by_table_and_column() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.sqlite");
    let store = SqliteStore::open(&path).await.unwrap();
    let mut connection = raw(&path).await;
    for (column, value) in [
        ("project.name", "'Not A Name'"),
        ("project.active_policy", "x'0102'"),
        ("policy.digest", "'sha256:0'"),
        ("policy.created_by", "char(10)"),
        ("user.grants", "'{\"installation\":[\"root\"]}'"),
        ("token.id", "x'00'"),
        ("token.kind", "'\"eternal\"'"),
        ("token.parent", "x'000102'"),
        ("repository.source", "x'ff'"),
        ("session.id", "x'01'"),
        ("session.request", "'{}'"),
        ("session.state", "'{\"state\":\"dreaming\"}'"),
        ("session.outcome", "'\"won\"'"),
        ("session.events", "'many'"),
        ("session.last_commit", "x'01'"),
        ("session.idempotency_of", "NULL"),
        ("file.path", "CAST('../x' AS BLOB)"),
        ("file.touch", "16"),
        ("file.first_at", "'noon'"),
        ("output_commit.tree", "x'aabb'"),
        ("output_commit.author", "'\"nobody\"'"),
        ("output_commit.event", "x'aabb'"),
        ("output_blob.blob", "x''"),
    ] {
        store.clear().await.unwrap();
        store.save(suite::unit(suite::all_of_one_session(1))).await.unwrap();
        assert_eq!(first_corrupt(&store).await, None);
        let (table, name) = column.split_once('.').unwrap();
        // One row of each table, so that a key stays one.
        let others = "DELETE FROM file WHERE path <> CAST('src/a.rs' AS BLOB)";
        let sql = format!("{others}; UPDATE {table} SET {name} = {value}");
        connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
        assert_eq!(first_corrupt(&store).await.as_deref(), Some(column));
    }
}
