//! What sessions gave back: their commits, and the contents in them.

use custody_model::{GitOid, SessionId, WorkspacePath};
use custody_store::{BlobRow, CommitRow, StoreError};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use crate::column::{Fields, Id as _, count, json, oid, reading, writing};

/// Rows of one statement.
const BATCH: usize = 100;

pub(crate) fn read_commit(row: &SqliteRow) -> Result<CommitRow, StoreError> {
    let row = Fields::of("output_commit", row);
    Ok(CommitRow {
        session: row.id("session")?,
        repository: row.get("repository")?,
        commit: row.oid("oid")?,
        tree: row.oid("tree")?,
        author: row.json("author")?,
        file_count: row.count("file_count")?,
        at: row.time("at")?,
        seq: row.count("seq")?,
        event: row.id("event")?,
    })
}

pub(crate) fn read_blob(row: &SqliteRow) -> Result<BlobRow, StoreError> {
    let row = Fields::of("output_blob", row);
    Ok(BlobRow {
        session: row.id("session")?,
        commit: row.oid("oid")?,
        path: row.path("path")?,
        blob: row.oid("blob")?,
    })
}

pub(crate) async fn put_commit(
    to: &mut SqliteConnection,
    row: &CommitRow,
) -> Result<(), StoreError> {
    let sql = "REPLACE INTO output_commit \
               (session, oid, repository, tree, author, file_count, at, seq, event) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(row.session.bytes())
        .bind(oid(&row.commit)?)
        .bind(&row.repository)
        .bind(oid(&row.tree)?)
        .bind(json(&row.author)?)
        .bind(count(row.file_count))
        .bind(row.at.as_micros())
        .bind(count(row.seq))
        .bind(row.event.bytes())
        .execute(to)
        .await
        .map(drop)
        .map_err(writing)
}

/// Saves contents in their order: a later one replaces an earlier one.
pub(crate) async fn put_blobs(
    to: &mut SqliteConnection,
    rows: &[&BlobRow],
) -> Result<(), StoreError> {
    for rows in rows.chunks(BATCH) {
        let oids: Vec<_> = rows
            .iter()
            .map(|row| Ok((oid(&row.commit)?, oid(&row.blob)?)))
            .collect::<Result<_, StoreError>>()?;
        let mut query = QueryBuilder::new("REPLACE INTO output_blob (session, oid, path, blob) ");
        query.push_values(rows.iter().zip(oids), |mut values, (row, (commit, blob))| {
            values.push_bind(row.session.bytes()).push_bind(commit);
            values.push_bind(row.path.as_bytes()).push_bind(blob);
        });
        query.build().execute(&mut *to).await.map_err(writing)?;
    }
    Ok(())
}

async fn commits_by(
    from: &SqlitePool,
    query: sqlx::query::Query<'_, Sqlite, SqliteArguments>,
) -> Result<Vec<CommitRow>, StoreError> {
    query.fetch_all(from).await.map_err(reading)?.iter().map(read_commit).collect()
}

pub(crate) async fn commits(
    from: &SqlitePool,
    session: SessionId,
) -> Result<Vec<CommitRow>, StoreError> {
    let sql = "SELECT * FROM output_commit WHERE session = ? ORDER BY seq, oid";
    commits_by(from, sqlx::query(sql).bind(session.bytes())).await
}

pub(crate) async fn blobs(
    from: &SqlitePool,
    session: SessionId,
) -> Result<Vec<BlobRow>, StoreError> {
    let sql = "SELECT * FROM output_blob WHERE session = ? ORDER BY oid, path";
    let query = sqlx::query(sql).bind(session.bytes());
    query.fetch_all(from).await.map_err(reading)?.iter().map(read_blob).collect()
}

pub(crate) async fn commit(
    from: &SqlitePool,
    commit: &GitOid,
) -> Result<Vec<CommitRow>, StoreError> {
    let sql = "SELECT * FROM output_commit WHERE oid = ? ORDER BY at, session, oid";
    commits_by(from, sqlx::query(sql).bind(oid(commit)?)).await
}

pub(crate) async fn tree(from: &SqlitePool, tree: &GitOid) -> Result<Vec<CommitRow>, StoreError> {
    let sql = "SELECT * FROM output_commit WHERE tree = ? ORDER BY at, session, oid";
    commits_by(from, sqlx::query(sql).bind(oid(tree)?)).await
}

pub(crate) async fn written(
    from: &SqlitePool,
    path: &WorkspacePath,
    blob: &GitOid,
) -> Result<Vec<CommitRow>, StoreError> {
    let sql = "SELECT output_commit.* \
               FROM output_blob CROSS JOIN output_commit USING (session, oid) \
               WHERE output_blob.blob = ? AND output_blob.path = ? \
               ORDER BY output_commit.at, output_commit.session, output_commit.oid";
    commits_by(from, sqlx::query(sql).bind(oid(blob)?).bind(path.as_bytes())).await
}
