//! Sessions, one by one; [`crate::list`] has their lists.

use custody_model::{SessionId, Timestamp, UserName};
use custody_record::control::Idempotency;
use custody_store::{SessionRow, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use crate::column::{Fields, Id as _, count, json, json_of, oid_of, reading, writing};

const TABLE: &str = "session";

pub(crate) fn read(row: &SqliteRow) -> Result<SessionRow, StoreError> {
    let row = Fields::of(TABLE, row);
    let key: Option<String> = row.get("idempotency_key")?;
    let idempotency = match key {
        Some(key) => Some(Idempotency { key, request: row.digest("idempotency_of")? }),
        None => None,
    };
    Ok(SessionRow {
        id: row.id("id")?,
        project: row.text("project")?,
        request: row.json("request")?,
        requested_at: row.time("requested_at")?,
        policy: row.digest("policy")?,
        policy_name: row.get("policy_name")?,
        rule: row.get("rule")?,
        approvals_wanted: row.count("approvals_wanted")?,
        approvers: row.json("approvers")?,
        approvals: row.json("approvals")?,
        idempotency,
        state: row.json("state")?,
        updated_at: row.time("updated_at")?,
        stop: row.json_of("stop")?,
        outcome: row.json_of("outcome")?,
        reason: row.get("reason")?,
        exit: row.json_of("exit")?,
        events: row.count("events")?,
        root: row.digest_of("root")?,
        counts: row.json("counts")?,
        commit: row.oid_of("last_commit")?,
        hold: row.json_of("hold")?,
        erased_at: row.time_of("erased_at")?,
    })
}

const PUT: &str = "\
INSERT INTO session (id, project, requester, repository, state_name, requested_at, updated_at, request, policy,
    policy_name, rule, approvals_wanted, approvers, approvals, idempotency_key, idempotency_of, state, stop, outcome,
    reason, exit, events, root, counts, last_commit, closed_at, hold, erased_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET project = excluded.project, requester = excluded.requester,
    repository = excluded.repository, state_name = excluded.state_name, requested_at = excluded.requested_at,
    updated_at = excluded.updated_at, request = excluded.request, policy = excluded.policy,
    policy_name = excluded.policy_name, rule = excluded.rule, approvals_wanted = excluded.approvals_wanted,
    approvers = excluded.approvers, approvals = excluded.approvals, idempotency_key = excluded.idempotency_key,
    idempotency_of = excluded.idempotency_of, state = excluded.state, stop = excluded.stop,
    outcome = excluded.outcome, reason = excluded.reason, exit = excluded.exit, events = excluded.events, root = excluded.root,
    counts = excluded.counts, last_commit = excluded.last_commit, closed_at = excluded.closed_at,
    hold = excluded.hold, erased_at = excluded.erased_at";

pub(crate) async fn put(to: &mut SqliteConnection, row: &SessionRow) -> Result<(), StoreError> {
    let idempotency = row.idempotency.as_ref();
    let saved = sqlx::query(PUT)
        .bind(row.id.bytes())
        .bind(row.project.as_str())
        .bind(row.request.requester.as_str())
        .bind(&row.request.repository)
        .bind(row.state.name())
        .bind(row.requested_at.as_micros())
        .bind(row.updated_at.as_micros())
        .bind(json(&row.request)?)
        .bind(&row.policy.as_bytes()[..])
        .bind(&row.policy_name)
        .bind(&row.rule)
        .bind(count(row.approvals_wanted))
        .bind(json(&row.approvers)?)
        .bind(json(&row.approvals)?)
        .bind(idempotency.map(|idempotency| &idempotency.key))
        .bind(idempotency.map(|idempotency| &idempotency.request.as_bytes()[..]))
        .bind(json(&row.state)?)
        .bind(json_of(row.stop.as_ref())?)
        .bind(json_of(row.outcome.as_ref())?)
        .bind(&row.reason)
        .bind(json_of(row.exit.as_ref())?)
        .bind(count(row.events))
        .bind(row.root.as_ref().map(|root| &root.as_bytes()[..]))
        .bind(json(&row.counts)?)
        .bind(oid_of(row.commit.as_ref())?)
        .bind(row.state.closed_at().map(Timestamp::as_micros))
        .bind(json_of(row.hold.as_ref())?)
        .bind(row.erased_at.map(Timestamp::as_micros))
        .execute(to)
        .await;
    match (saved, idempotency) {
        (Ok(_), _) => Ok(()),
        // The only other column that is unique.
        (Err(sqlx::Error::Database(error)), Some(idempotency)) if error.is_unique_violation() => {
            Err(StoreError::KeyTaken {
                requester: row.request.requester.clone(),
                key: idempotency.key.clone(),
                session: row.id,
            })
        }
        (Err(error), _) => Err(writing(error)),
    }
}

pub(crate) async fn get(
    from: &SqlitePool,
    id: SessionId,
) -> Result<Option<SessionRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM session WHERE id = ?").bind(id.bytes());
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

pub(crate) async fn by_key(
    from: &SqlitePool,
    requester: &UserName,
    key: &str,
) -> Result<Option<SessionRow>, StoreError> {
    let sql = "SELECT * FROM session WHERE requester = ? AND idempotency_key = ?";
    let query = sqlx::query(sql).bind(requester.as_str()).bind(key);
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

/// The number of events of its record that are in the index; 0 without a row.
pub(crate) async fn events(from: &mut SqliteConnection, id: SessionId) -> Result<u64, StoreError> {
    let query = sqlx::query("SELECT events FROM session WHERE id = ?").bind(id.bytes());
    let row = query.fetch_optional(from).await.map_err(reading)?;
    row.map_or(Ok(0), |row| Fields::of(TABLE, &row).count("events"))
}

pub(crate) async fn in_states(
    from: &SqlitePool,
    states: &[&str],
) -> Result<Vec<SessionRow>, StoreError> {
    let sql = "SELECT * FROM session WHERE state_name IN (SELECT value FROM json_each(?)) \
               ORDER BY requested_at, id";
    let query = sqlx::query(sql).bind(json(&states)?);
    query.fetch_all(from).await.map_err(reading)?.iter().map(read).collect()
}
