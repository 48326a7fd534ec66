//! Every derived row as a line, to compare stores.

use custody_store::StoreError;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use crate::column::{json, reading};
use crate::{file, output, policy, project, repository, session, token, user};

pub(crate) async fn dump(from: &SqlitePool) -> Result<Vec<String>, StoreError> {
    // One transaction: one snapshot of all tables.
    let mut transaction = from.begin().await.map_err(reading)?;
    let (from, mut lines) = (&mut *transaction, Vec::new());
    table(from, &mut lines, "project", "SELECT * FROM project", project::read).await?;
    table(from, &mut lines, "policy", "SELECT * FROM policy", policy::read).await?;
    table(from, &mut lines, "user", "SELECT * FROM user", user::read).await?;
    table(from, &mut lines, "token", "SELECT * FROM token", token::read).await?;
    table(from, &mut lines, "repository", "SELECT * FROM repository", repository::read).await?;
    table(from, &mut lines, "session", "SELECT * FROM session", session::read).await?;
    table(from, &mut lines, "file", "SELECT * FROM file", file::read).await?;
    table(from, &mut lines, "commit", "SELECT * FROM output_commit", output::read_commit).await?;
    table(from, &mut lines, "blob", "SELECT * FROM output_blob", output::read_blob).await?;
    transaction.commit().await.map_err(reading)?;
    lines.sort_unstable();
    Ok(lines)
}

async fn table<T: Serialize>(
    from: &mut SqliteConnection,
    lines: &mut Vec<String>,
    name: &str,
    sql: &'static str,
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    for row in sqlx::query(sql).fetch_all(from).await.map_err(reading)? {
        lines.push(format!("{name}\t{}", json(&read(&row)?)?));
    }
    Ok(())
}
