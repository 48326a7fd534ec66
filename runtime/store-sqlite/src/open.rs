//! Opening the file: where it lies, who may read it, how its connections behave.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};
use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::schema;

/// How long a reader or writer waits for its turn before it fails.
pub const WAIT: Duration = Duration::from_secs(20);

/// Readers at one time.
const READERS: u32 = 4;

/// The log of writes is cut back to this after it was larger, in bytes.
const JOURNAL_BYTES: &str = "67108864";

/// What each connection may keep of the file in memory, in KiB (negative: SQLite would count pages otherwise).
const CACHE_KIB: &str = "-16384";

/// The store of one installation in one SQLite file. Any number of processes may have it open.
#[derive(Debug)]
pub struct SqliteStore {
    /// One connection: whoever has it is the one writer of this process.
    pub(crate) writer: SqlitePool,
    pub(crate) readers: SqlitePool,
}

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer version of Custody was here.
    #[error(
        "{} was migrated by a newer version of Custody (to schema {found}; this one knows {known}): use that one, or \
         remove the file and make it anew with `custody reindex`",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The file or its directory can't be made.
    #[error("{} can't be made", path.display())]
    Make {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be migrated to the schema of this version.
    #[error("{} can't be migrated", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// The database itself.
    #[error("{} can't be opened", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

impl SqliteStore {
    /// Opens the store in this file. What is missing is made: its directory with mode 0700, the file with mode 0600.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let database = |source| OpenError::Database { path: path.to_owned(), source };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WAIT)
            // A disk that is full ends a transaction in the database, and then its end fails here: a connection that
            // takes itself to be inside of one for ever makes room for another.
            .before_acquire(|connection, _| {
                Box::pin(async move { Ok(!connection.is_in_transaction()) })
            })
            .connect_with(options(path))
            .await
            .map_err(database)?;
        migrate(path, &writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(WAIT)
            .connect_with(options(path).pragma("query_only", "ON"))
            .await
            .map_err(database)?;
        Ok(Self { writer, readers })
    }

    /// Ends all connections; what is under way ends first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(WAIT)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .pragma("journal_size_limit", JOURNAL_BYTES)
        .pragma("trusted_schema", "OFF")
        .pragma("cache_size", CACHE_KIB)
}

fn make(path: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Make { path, source }
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(failed(directory))?;
    }
    // SQLite gives its other files the mode of this one. Made without opening it: POSIX locks that another store of
    // this process holds would be lost when the file is closed.
    match mknod(path, SFlag::S_IFREG, Mode::S_IRUSR | Mode::S_IWUSR, 0) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(error) => Err(failed(path)(error.into())),
    }
}

/// Brings the schema up to date: under the write lock, so that of several processes one does it.
async fn migrate(path: &Path, writer: &SqlitePool) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let known = schema::known();
    let mut connection = writer.acquire().await.map_err(database)?;
    let found = schema::version(&mut connection).await.map_err(database)?;
    drop(connection);
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
    let migrated = schema::migrate(&mut transaction).await;
    migrated.map_err(|source| match source {
        MigrateError::VersionMissing(found) => {
            OpenError::Newer { path: path.to_owned(), found, known }
        }
        source => OpenError::Migrate { path: path.to_owned(), source },
    })?;
    transaction.commit().await.map_err(database)
}
