//! Projects, and which policy version is active in each.

use custody_model::ProjectName;
use custody_store::{Page, PageRequest, ProjectRow, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, SqliteConnection, SqlitePool};

use crate::column::{Fields, json_of, reading, writing};
use crate::cursor;

pub(crate) fn read(row: &SqliteRow) -> Result<ProjectRow, StoreError> {
    let row = Fields::of("project", row);
    Ok(ProjectRow {
        name: row.text("name")?,
        description: row.get("description")?,
        created_at: row.time("created_at")?,
        active_policy: row.digest_of("active_policy")?,
        hold: row.json_of("hold")?,
    })
}

pub(crate) async fn put(to: &mut SqliteConnection, row: &ProjectRow) -> Result<(), StoreError> {
    let sql = "REPLACE INTO project (name, description, created_at, active_policy, hold) VALUES (?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(row.name.as_str())
        .bind(&row.description)
        .bind(row.created_at.as_micros())
        .bind(row.active_policy.as_ref().map(|digest| &digest.as_bytes()[..]))
        .bind(json_of(row.hold.as_ref())?)
        .execute(to)
        .await
        .map(drop)
        .map_err(writing)
}

pub(crate) async fn get(
    from: &SqlitePool,
    name: &ProjectName,
) -> Result<Option<ProjectRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM project WHERE name = ?").bind(name.as_str());
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

pub(crate) async fn list(
    from: &SqlitePool,
    page: &PageRequest,
) -> Result<Page<ProjectRow>, StoreError> {
    let mut query = QueryBuilder::new("SELECT * FROM project WHERE name ");
    cursor::push_name(&mut query, page)?;
    let found = query.build().fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &ProjectRow| cursor::key(last.name.as_str().as_bytes()))
}
