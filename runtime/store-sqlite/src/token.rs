//! Tokens, as far as they are on record.

use custody_model::{TokenId, UserName};
use custody_store::{Page, PageRequest, StoreError, TokenRow};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, SqliteConnection, SqlitePool};

use crate::column::{Fields, Id as _, json, reading, writing};
use crate::cursor;

pub(crate) fn read(row: &SqliteRow) -> Result<TokenRow, StoreError> {
    let row = Fields::of("token", row);
    Ok(TokenRow {
        id: row.id("id")?,
        user: row.text("user")?,
        kind: row.json("kind")?,
        scopes: row.json("scopes")?,
        label: row.get("label")?,
        parent: row.id_of("parent")?,
        issued_at: row.time("issued_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.time_of("revoked_at")?,
    })
}

pub(crate) async fn put(to: &mut SqliteConnection, row: &TokenRow) -> Result<(), StoreError> {
    let sql = "REPLACE INTO token \
               (id, user, kind, scopes, label, parent, issued_at, expires_at, revoked_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(row.id.bytes())
        .bind(row.user.as_str())
        .bind(json(&row.kind)?)
        .bind(json(&row.scopes)?)
        .bind(&row.label)
        .bind(row.parent.as_ref().map(|id| id.bytes()))
        .bind(row.issued_at.as_micros())
        .bind(row.expires_at.as_micros())
        .bind(row.revoked_at.map(|at| at.as_micros()))
        .execute(to)
        .await
        .map(drop)
        .map_err(writing)
}

pub(crate) async fn get(from: &SqlitePool, id: &TokenId) -> Result<Option<TokenRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM token WHERE id = ?").bind(id.bytes());
    query.fetch_optional(from).await.map_err(reading)?.as_ref().map(read).transpose()
}

/// Letter of the list's cursors.
const LIST: char = 't';

pub(crate) async fn list(
    from: &SqlitePool,
    user: Option<&UserName>,
    page: &PageRequest,
) -> Result<Page<TokenRow>, StoreError> {
    let after = page.after.as_ref().map(|after| cursor::after_moment(LIST, after)).transpose()?;
    let (at, id) = after.unwrap_or_else(cursor::latest);
    let mut query = QueryBuilder::new("SELECT * FROM token WHERE ");
    if let Some(user) = user {
        query.push("user = ").push_bind(user.as_str()).push(" AND ");
    }
    query.push("(issued_at, id) < (").push_bind(at).push(", ").push_bind(id);
    query.push(") ORDER BY issued_at DESC, id DESC LIMIT ").push_bind(cursor::rows(page));
    let found = query.build().fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &TokenRow| {
        cursor::moment(LIST, last.issued_at, last.id.bytes())
    })
}
