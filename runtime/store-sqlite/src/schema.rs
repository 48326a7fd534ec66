//! The migrations, and how they are applied: forward only, whole, by one process at a time.

use std::borrow::Cow;
use std::sync::LazyLock;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqliteConnection};

/// The files of `migrations/sqlite`, in order.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "index", include_str!("../../../migrations/sqlite/0001_index.sql")),
    (2, "retention", include_str!("../../../migrations/sqlite/0002_retention.sql")),
];

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    Migrator::with_migrations(
        MIGRATIONS
            .iter()
            .map(|(version, name, sql)| {
                let (name, sql) = (Cow::Borrowed(*name), AssertSqlSafe(*sql).into_sql_str());
                Migration::new(*version, name, MigrationType::Simple, sql, false)
            })
            .collect(),
    )
});

/// The version that this program makes and knows.
pub(crate) fn known() -> i64 {
    MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

/// The version that a database has; 0 if it is new.
pub(crate) async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let table = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    if sqlx::query_scalar::<_, i64>(table).fetch_one(&mut *connection).await? == 0 {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
    sqlx::query_scalar(newest).fetch_one(connection).await
}

/// Applies what is missing, inside of the transaction that the connection is in.
pub(crate) async fn migrate(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    MIGRATOR.run_direct(None, connection, false).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_of_the_folder_is_embedded_under_its_number() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let embedded: Vec<String> =
            MIGRATIONS.iter().map(|(n, name, _)| format!("{n:04}_{name}.sql")).collect();
        assert_eq!(files, embedded);
        assert!(MIGRATIONS.iter().map(|(n, ..)| *n).eq(1..=known()));
    }
}
