//! Leases: which instance of the server looks after which session.

use custody_model::{SessionId, Timestamp};
use custody_store::{Holder, LeaseRow, Room, StoreError, Taken};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use crate::column::{Fields, Id as _, reading, writing};

fn read(row: &SqliteRow) -> Result<LeaseRow, StoreError> {
    let row = Fields::of("lease", row);
    Ok(LeaseRow {
        session: row.id("session")?,
        holder: Holder::new(row.get::<String>("holder")?),
        until: row.time("until")?,
        user: row.text("user")?,
        project: row.text("project")?,
    })
}

/// Takes or renews a lease.
pub(crate) async fn take(
    writer: &SqlitePool,
    lease: &LeaseRow,
    now: Timestamp,
    room: &Room,
) -> Result<Taken, StoreError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(writing)?;
    let query = sqlx::query("SELECT * FROM lease WHERE session = ?").bind(lease.session.bytes());
    let held = query.fetch_optional(&mut *transaction).await.map_err(reading)?;
    let answer = match held.as_ref().map(read).transpose()? {
        Some(held) if held.holder == lease.holder || held.until <= now => Taken::Taken,
        Some(_) => Taken::Held,
        None if has_room(&mut transaction, lease, room).await? => Taken::Taken,
        None => Taken::Full,
    };
    if answer == Taken::Taken {
        let sql =
            "REPLACE INTO lease (session, holder, until, user, project) VALUES (?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(lease.session.bytes())
            .bind(lease.holder.as_str())
            .bind(lease.until.as_micros())
            .bind(lease.user.as_str())
            .bind(lease.project.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
    }
    transaction.commit().await.map_err(writing)?;
    Ok(answer)
}

async fn has_room(
    from: &mut SqliteConnection,
    lease: &LeaseRow,
    room: &Room,
) -> Result<bool, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM lease) AS running, \
               (SELECT count(*) FROM lease WHERE user = ?) AS of_user, \
               (SELECT count(*) FROM lease WHERE project = ?) AS of_project";
    let query = sqlx::query(sql).bind(lease.user.as_str()).bind(lease.project.as_str());
    let row = query.fetch_one(from).await.map_err(reading)?;
    let row = Fields::of("lease", &row);
    Ok(row.count("running")? < room.running
        && row.count("of_user")? < room.per_user
        && row.count("of_project")? < room.per_project)
}

pub(crate) async fn release(
    writer: &SqlitePool,
    session: SessionId,
    holder: &Holder,
) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM lease WHERE session = ? AND holder = ?")
        .bind(session.bytes())
        .bind(holder.as_str());
    query.execute(writer).await.map(drop).map_err(writing)
}

pub(crate) async fn all(from: &SqlitePool) -> Result<Vec<LeaseRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM lease ORDER BY session").fetch_all(from).await;
    rows.map_err(reading)?.iter().map(read).collect()
}
