//! Policy versions.

use custody_model::{Digest, ProjectName};
use custody_store::{Page, PageRequest, PolicyRow, RetentionRow, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use crate::column::{Fields, count, reading, writing};
use crate::cursor;

pub(crate) fn read(row: &SqliteRow) -> Result<PolicyRow, StoreError> {
    let row = Fields::of("policy", row);
    Ok(PolicyRow {
        project: row.text("project")?,
        digest: row.digest("digest")?,
        name: row.get("name")?,
        document: row.get("document")?,
        created_at: row.time("created_at")?,
        created_by: row.text_of("created_by")?,
        retention: RetentionRow {
            content_seconds: row.get::<Option<i64>>("content_seconds")?.map(i64::cast_unsigned),
            hold: row.get("hold")?,
            early_erasure: row.get("early_erasure")?,
        },
    })
}

pub(crate) async fn put(to: &mut SqliteConnection, row: &PolicyRow) -> Result<(), StoreError> {
    let sql = "REPLACE INTO policy (project, digest, name, document, created_at, created_by, \
               content_seconds, hold, early_erasure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(row.project.as_str())
        .bind(&row.digest.as_bytes()[..])
        .bind(&row.name)
        .bind(&row.document)
        .bind(row.created_at.as_micros())
        .bind(row.created_by.as_ref().map(|name| name.as_str()))
        .bind(row.retention.content_seconds.map(count))
        .bind(&row.retention.hold)
        .bind(row.retention.early_erasure)
        .execute(to)
        .await
        .map(drop)
        .map_err(writing)
}

pub(crate) async fn get(
    from: &SqlitePool,
    project: &ProjectName,
    digest: &Digest,
) -> Result<Option<PolicyRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM policy WHERE project = ? AND digest = ?")
        .bind(project.as_str())
        .bind(&digest.as_bytes()[..]);
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

/// Letter of the list's cursors.
const LIST: char = 'p';

pub(crate) async fn list(
    from: &SqlitePool,
    project: &ProjectName,
    page: &PageRequest,
) -> Result<Page<PolicyRow>, StoreError> {
    let after = page.after.as_ref().map(|after| cursor::after_moment(LIST, after)).transpose()?;
    let (at, digest) = after.unwrap_or_else(cursor::latest);
    let sql = "SELECT * FROM policy WHERE project = ? AND (created_at, digest) < (?, ?) \
               ORDER BY created_at DESC, digest DESC LIMIT ?";
    let query = sqlx::query(sql).bind(project.as_str()).bind(at).bind(digest);
    let found = query.bind(cursor::rows(page)).fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &PolicyRow| {
        cursor::moment(LIST, last.created_at, last.digest.as_bytes())
    })
}
