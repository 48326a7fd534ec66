//! The unit of work: one transaction that holds the write lock from its first statement on.

use custody_store::{Change, StoreError, UnitOfWork};
use sqlx::{SqliteConnection, SqlitePool};

use crate::column::{Fields, count, reading, writing};
use crate::{file, output, policy, project, repository, session, token, user};

/// The derived tables.
pub(crate) const TABLES: [&str; 9] = [
    "project",
    "policy",
    "user",
    "token",
    "repository",
    "session",
    "file",
    "output_commit",
    "output_blob",
];

pub(crate) async fn save(writer: &SqlitePool, unit: &UnitOfWork) -> Result<(), StoreError> {
    // Dropped before its end, on an error or because nobody waits any more, it is rolled back.
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(writing)?;
    if let Some((wanted, next)) = unit.control {
        let found = applied(&mut transaction).await?;
        if found != wanted {
            return Err(StoreError::Stale { what: "control event".to_owned(), found, wanted });
        }
        let query = sqlx::query("UPDATE applied SET control = ?").bind(count(next));
        query.execute(&mut *transaction).await.map_err(writing)?;
    }
    if let Some((session, wanted)) = unit.record {
        let found = session::events(&mut transaction, session).await?;
        if found != wanted {
            let what = format!("event of session {session}");
            return Err(StoreError::Stale { what, found, wanted });
        }
    }
    put(&mut transaction, &unit.changes).await?;
    transaction.commit().await.map_err(writing)
}

/// Makes the changes in order; files and contents, of which there are many, several at a time.
async fn put(to: &mut SqliteConnection, changes: &[Change]) -> Result<(), StoreError> {
    let same = |a: &Change, b: &Change| std::mem::discriminant(a) == std::mem::discriminant(b);
    for run in changes.chunk_by(same) {
        let (mut files, mut blobs) = (Vec::new(), Vec::new());
        for change in run {
            match change {
                Change::Project(row) => project::put(to, row).await?,
                Change::Policy(row) => policy::put(to, row).await?,
                Change::User(row) => user::put(to, row).await?,
                Change::Token(row) => token::put(to, row).await?,
                Change::Repository(row) => repository::put(to, row).await?,
                Change::Session(row) => session::put(to, row).await?,
                Change::Commit(row) => output::put_commit(to, row).await?,
                Change::File(row) => files.push(&**row),
                Change::Blob(row) => blobs.push(row),
            }
        }
        file::put(to, &files).await?;
        output::put_blobs(to, &blobs).await?;
    }
    Ok(())
}

/// Number of events of the control log that are applied.
pub(crate) async fn applied(from: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT control FROM applied").fetch_one(from).await.map_err(reading)?;
    Fields::of("applied", &row).count("control")
}

/// Removes every derived row.
pub(crate) async fn clear(writer: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(writing)?;
    for table in TABLES {
        let sql = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
        sqlx::query(sql).execute(&mut *transaction).await.map_err(writing)?;
    }
    let query = sqlx::query("UPDATE applied SET control = 0");
    query.execute(&mut *transaction).await.map_err(writing)?;
    transaction.commit().await.map_err(writing)
}
