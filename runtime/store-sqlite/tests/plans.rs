//! The plan of every statement that the contract's methods send: none walks through a table that grows with sessions.
//!
//! The statements are those that the behaviour suite causes, taken from where the database's client logs them: a new
//! query is looked at as soon as the suite tests it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use custody_store::{Store, suite};
use custody_store_sqlite::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static STATEMENTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Collects the statements that are logged.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        // The whole text is a field of its own only where the summary is shorter.
        let sql = if statement.whole.is_empty() { statement.summary } else { statement.whole };
        STATEMENTS.lock().unwrap().insert(sql.trim().to_owned());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Statement {
    summary: String,
    whole: String,
}

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.whole),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// What does not grow with sessions: one row, leases of what runs, policy versions with a retention class, and what the
/// question itself brings.
const SMALL: [&str; 8] =
    ["applied", "lease", "version", "wanted", "class", "json_each", "found", "CONSTANT"];

/// What is wrong with the plan of a statement.
async fn wrong(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let details: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    let listed_by_order = sql.contains("INDEXED BY session_") && !sql.contains("session_id");
    let bad = |detail: &&String| {
        let scanned = detail.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        // The rows that are being saved are `n-ROW VALUES`.
        let small = |table: &str| SMALL.contains(&table) || table.ends_with("-ROW");
        scanned.is_some_and(|table| !small(table))
            || detail.contains("AUTOMATIC")
            || (listed_by_order && detail.contains("TEMP B-TREE"))
    };
    details.iter().filter(bad).cloned().collect()
}

/// What reads or empties everything, because that is what it is asked for.
fn is_of_everything(sql: &str) -> bool {
    let whole = sql.strip_prefix("SELECT * FROM ").or(sql.strip_prefix("DELETE FROM "));
    whole.is_some_and(|table| !table.contains(' '))
}

/// Asks what these promises ask, each of an empty store.
macro_rules! ask {
    ($store:expr; $($promise:ident)+) => {
        $(
            suite::$promise($store).await;
            $store.clear().await.unwrap();
        )+
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_walks_through_what_grows_with_sessions() {
    tracing::subscriber::set_global_default(Collector).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("index.sqlite");
    let opened = SqliteStore::open(&path).await.unwrap();
    // What making and opening the file takes is no query of the contract.
    STATEMENTS.lock().unwrap().clear();
    let store: &dyn Store = &opened;
    ask!(
        store;
        what_is_not_there_is_absent
        clearing_leaves_the_leases_and_nothing_else
        every_row_is_read_as_it_was_saved
        an_idempotency_key_names_one_session_of_a_requester
        a_unit_from_a_stale_event_of_a_record_saves_nothing
        pages_of_every_size_make_up_the_list
        every_filter_in_every_order_gives_what_it_says
        the_pages_of_every_filter_make_up_its_list
        everybody_sees_what_is_theirs_and_nothing_else
        many_projects_are_seen_in_one_order
        sessions_in_a_state_come_oldest_first
        an_id_is_found_by_any_beginning
        what_has_an_end_comes_in_the_order_of_the_ends
        what_is_held_is_listed_until_it_is_released
        long_paths_are_paged_through
        touches_are_those_whose_time_overlaps
        commits_are_found_by_id_tree_and_content
    );

    let statements: Vec<String> = STATEMENTS.lock().unwrap().iter().cloned().collect();
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let (mut bad, mut looked_at) = (Vec::new(), 0);
    for sql in &statements {
        let planned = ["SELECT", "REPLACE", "INSERT", "UPDATE", "DELETE"];
        if !planned.iter().any(|verb| sql.starts_with(verb)) || is_of_everything(sql) {
            continue;
        }
        looked_at += 1;
        let details = wrong(&mut connection, sql).await;
        if !details.is_empty() {
            bad.push(format!("{sql}\n    {}", details.join("\n    ")));
        }
    }
    println!("{looked_at} statements");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(looked_at > 100, "{looked_at} statements were logged: {statements:#?}");
    for needle in
        ["FROM file", "FROM output_blob", "output_commit WHERE tree", "FROM token", "UNION"]
    {
        assert!(statements.iter().any(|sql| sql.contains(needle)), "no statement has {needle}");
    }
    // The eye is not blind.
    let scan = "SELECT * FROM session WHERE reason = ?";
    assert_eq!(wrong(&mut connection, scan).await, ["SCAN session"]);
    let sort =
        "SELECT id FROM session INDEXED BY session_project_updated WHERE project = ? ORDER BY rule";
    assert_eq!(wrong(&mut connection, sort).await, ["USE TEMP B-TREE FOR ORDER BY"]);
}
