//! People and services.

use custody_model::UserName;
use custody_store::{Page, PageRequest, StoreError, UserRow};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, SqliteConnection, SqlitePool};

use crate::column::{Fields, json, reading, writing};
use crate::cursor;

pub(crate) fn read(row: &SqliteRow) -> Result<UserRow, StoreError> {
    let row = Fields::of("user", row);
    Ok(UserRow {
        name: row.text("name")?,
        grants: row.json("grants")?,
        created_at: row.time("created_at")?,
        disabled_at: row.time_of("disabled_at")?,
    })
}

pub(crate) async fn put(to: &mut SqliteConnection, row: &UserRow) -> Result<(), StoreError> {
    let sql = "REPLACE INTO user (name, grants, created_at, disabled_at) VALUES (?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(row.name.as_str())
        .bind(json(&row.grants)?)
        .bind(row.created_at.as_micros())
        .bind(row.disabled_at.map(|at| at.as_micros()))
        .execute(to)
        .await
        .map(drop)
        .map_err(writing)
}

pub(crate) async fn get(from: &SqlitePool, name: &UserName) -> Result<Option<UserRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM user WHERE name = ?").bind(name.as_str());
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

pub(crate) async fn list(
    from: &SqlitePool,
    page: &PageRequest,
) -> Result<Page<UserRow>, StoreError> {
    let mut query = QueryBuilder::new("SELECT * FROM user WHERE name ");
    cursor::push_name(&mut query, page)?;
    let found = query.build().fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &UserRow| cursor::key(last.name.as_str().as_bytes()))
}
