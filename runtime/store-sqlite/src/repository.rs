//! Repositories.

use custody_model::ProjectName;
use custody_store::{Page, PageRequest, RepositoryRow, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, SqliteConnection, SqlitePool};

use crate::column::{Fields, reading, writing};
use crate::cursor;

pub(crate) fn read(row: &SqliteRow) -> Result<RepositoryRow, StoreError> {
    let row = Fields::of("repository", row);
    Ok(RepositoryRow {
        name: row.get("name")?,
        project: row.text("project")?,
        source: row.get("source")?,
        registered_at: row.time("registered_at")?,
    })
}

pub(crate) async fn put(to: &mut SqliteConnection, row: &RepositoryRow) -> Result<(), StoreError> {
    let sql = "REPLACE INTO repository (name, project, source, registered_at) VALUES (?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(&row.name)
        .bind(row.project.as_str())
        .bind(&row.source)
        .bind(row.registered_at.as_micros())
        .execute(to)
        .await
        .map(drop)
        .map_err(writing)
}

pub(crate) async fn get(
    from: &SqlitePool,
    name: &str,
) -> Result<Option<RepositoryRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM repository WHERE name = ?").bind(name);
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

pub(crate) async fn list(
    from: &SqlitePool,
    project: Option<&ProjectName>,
    page: &PageRequest,
) -> Result<Page<RepositoryRow>, StoreError> {
    let mut query = QueryBuilder::new("SELECT * FROM repository WHERE ");
    if let Some(project) = project {
        query.push("project = ").push_bind(project.as_str()).push(" AND ");
    }
    query.push("name ");
    cursor::push_name(&mut query, page)?;
    let found = query.build().fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &RepositoryRow| cursor::key(last.name.as_bytes()))
}
