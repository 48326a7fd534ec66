//! Several processes with one file: opening it at once, writing at once, dying while they write.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use custody_model::Timestamp;
use custody_store::{Change, Holder, LeaseRow, Room, Store, StoreError, Taken, UnitOfWork, suite};
use custody_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;

const DATABASE: &str = "index.sqlite";

/// In the working directory of a writer that a test started: its number, and how many units it is to save.
const ORDERS: &str = "orders";

/// This program again, running the same test as a writer.
fn writer(test: &str, directory: &Path, number: u64, units: u64) -> Child {
    let own = directory.join(format!("writer-{number}"));
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join(ORDERS), format!("{number} {units}")).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .current_dir(own)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The orders of this process, if it is a writer.
fn orders() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(ORDERS).ok()?;
    let (number, units) = text.split_once(' ')?;
    Some((number.parse().unwrap(), units.parse().unwrap()))
}

/// Saves units of all kinds of rows; each follows the one that was saved last, whoever saved it.
async fn write(path: &Path, number: u64, units: u64) {
    let store = SqliteStore::open(path).await.unwrap();
    for n in 0..units {
        loop {
            let from = store.applied().await.unwrap();
            let changes = suite::all_of_one_session(number * 1_000_000 + n);
            let unit = UnitOfWork { control: Some((from, from + 1)), record: None, changes };
            match store.save(unit).await {
                Ok(()) => break,
                Err(StoreError::Stale { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

fn rows(units: u64) -> usize {
    usize::try_from(units).unwrap() * suite::all_of_one_session(0).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_open_and_write_at_once_wait_for_each_other() {
    if let Some((number, units)) = orders() {
        return write(&Path::new("..").join(DATABASE), number, units).await;
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(DATABASE);
    let test = "processes_that_open_and_write_at_once_wait_for_each_other";
    // They make the file at once, too.
    let mut writers: Vec<Child> =
        (1..=3).map(|number| writer(test, directory.path(), number, 40)).collect();
    write(&path, 4, 40).await;
    for writer in &mut writers {
        assert!(writer.wait().unwrap().success());
    }
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.applied().await.unwrap(), 160);
    assert_eq!(store.dump().await.unwrap().len(), rows(160));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_while_it_writes_leaves_whole_units() {
    if let Some((number, units)) = orders() {
        return write(&Path::new("..").join(DATABASE), number, units).await;
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(DATABASE);
    let test = "a_process_that_is_killed_while_it_writes_leaves_whole_units";
    let store = SqliteStore::open(&path).await.unwrap();
    for round in 1..=5 {
        let before = store.applied().await.unwrap();
        let mut writer = writer(test, directory.path(), round, u64::MAX);
        while store.applied().await.unwrap() < before + 3 * round {
            assert!(writer.try_wait().unwrap().is_none(), "it writes until it is killed");
            tokio::task::yield_now().await;
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let applied = store.applied().await.unwrap();
        assert_eq!(store.dump().await.unwrap().len(), rows(applied));
        // Nobody waits for the dead.
        write(&path, 100 + round, 3).await;
        assert_eq!(store.applied().await.unwrap(), applied + 3);
    }
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let sound: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_file_give_a_lease_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(DATABASE);
    let (a, b) = tokio::join!(SqliteStore::open(&path), SqliteStore::open(&path));
    let (a, b) = (a.unwrap(), b.unwrap());
    let now = Timestamp::from_micros(0);
    for n in 0..60 {
        let row = suite::session(n);
        let lease = |holder: &str| LeaseRow {
            session: row.id,
            holder: Holder::new(holder),
            until: Timestamp::from_micros(1),
            user: row.request.requester.clone(),
            project: row.project.clone(),
        };
        let (of_a, of_b) = (lease("a"), lease("b"));
        let room = Room { running: n + 1, ..Room::ENDLESS };
        let answers = tokio::join!(a.lease(&of_a, now, &room), b.lease(&of_b, now, &room));
        let winner = match (answers.0.unwrap(), answers.1.unwrap()) {
            (Taken::Taken, Taken::Held) => of_a,
            (Taken::Held, Taken::Taken) => of_b,
            other => panic!("one gets it, the other is told: {other:?}"),
        };
        assert!(b.leases().await.unwrap().contains(&winner));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_go_on_and_writers_wait_while_another_process_writes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(DATABASE);
    let store = SqliteStore::open(&path).await.unwrap();
    store.save(suite::unit(suite::all_of_one_session(1))).await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    other.execute("UPDATE applied SET control = 7").await.unwrap();
    let row = suite::session(2);
    let unit = UnitOfWork {
        control: Some((7, 8)),
        record: None,
        changes: vec![Change::Session(Box::new(row.clone()))],
    };
    let reading = async {
        for _ in 0..100 {
            assert_eq!(store.applied().await.unwrap(), 0, "what is not committed is not seen");
            assert_eq!(store.session(row.id).await.unwrap(), None);
        }
        other.execute("COMMIT").await.unwrap();
    };
    let (saved, ()) = tokio::join!(store.save(unit), reading);
    saved.unwrap();
    assert_eq!(store.applied().await.unwrap(), 8);
    assert_eq!(store.session(row.id).await.unwrap(), Some(row));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_nobody_waits_for_any_more_is_saved_whole_or_not_at_all() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(&directory.path().join(DATABASE)).await.unwrap();
    let (mut gone, mut applied) = (0, 0);
    for round in 0..60 {
        let changes = (0..20).flat_map(|n| suite::all_of_one_session(round * 100 + n)).collect();
        let unit = UnitOfWork { control: Some((applied, applied + 1)), record: None, changes };
        let patience = async {
            for _ in 0..round {
                store.leases().await.unwrap();
            }
        };
        tokio::select! {
            biased;
            saved = store.save(unit) => saved.unwrap(),
            () = patience => gone += 1,
        }
        // The next writer has its turn once what was left is undone.
        store.save(suite::unit(Vec::new())).await.unwrap();
        applied = store.applied().await.unwrap();
        assert_eq!(store.dump().await.unwrap().len(), rows(applied * 20));
    }
    assert!(gone > 0, "nobody went away");
}
