//! Which session touched which file; [`crate::touches`] asks across sessions.

use custody_model::SessionId;
use custody_store::{FileRow, Page, PageRequest, StoreError, Touch};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, SqlitePool};

use crate::column::{Fields, Id as _, count, oid_of, reading, writing};
use crate::cursor::{self, After};
use crate::touches;

/// Rows of one statement.
const BATCH: usize = 50;

const READ: i64 = 1;
const WRITTEN: i64 = 2;
const REMOVED: i64 = 4;
const DENIED: i64 = 8;

fn bits(touch: Touch) -> i64 {
    let Touch { read, written, removed, denied } = touch;
    [(read, READ), (written, WRITTEN), (removed, REMOVED), (denied, DENIED)]
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, bit)| bit)
        .sum()
}

pub(crate) fn read(row: &SqliteRow) -> Result<FileRow, StoreError> {
    let row = Fields::of("file", row);
    let touch: i64 = row.get("touch")?;
    if !(0..=READ | WRITTEN | REMOVED | DENIED).contains(&touch) {
        return Err(row.unknown("touch", touch));
    }
    Ok(FileRow {
        session: row.id("session")?,
        repository: row.get("repository")?,
        path: row.path("path")?,
        touch: Touch {
            read: touch & READ != 0,
            written: touch & WRITTEN != 0,
            removed: touch & REMOVED != 0,
            denied: touch & DENIED != 0,
        },
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        first_seq: row.count("first_seq")?,
        last_seq: row.count("last_seq")?,
        read_blob: row.oid_of("read_blob")?,
        read_digest: row.digest_of("read_digest")?,
        written_blob: row.oid_of("written_blob")?,
        written_digest: row.digest_of("written_digest")?,
    })
}

/// Saves files in their order: a later one replaces an earlier one.
pub(crate) async fn put(to: &mut SqliteConnection, rows: &[&FileRow]) -> Result<(), StoreError> {
    for rows in rows.chunks(BATCH) {
        let oids: Vec<_> = rows
            .iter()
            .map(|row| Ok((oid_of(row.read_blob.as_ref())?, oid_of(row.written_blob.as_ref())?)))
            .collect::<Result<_, StoreError>>()?;
        let mut query = QueryBuilder::new(
            "REPLACE INTO file (session, path, repository, touch, span, first_at, last_at, first_seq, last_seq, \
             read_blob, read_digest, written_blob, written_digest) ",
        );
        query.push_values(rows.iter().zip(oids), |mut values, (row, (read, written))| {
            values
                .push_bind(row.session.bytes())
                .push_bind(row.path.as_bytes())
                .push_bind(row.repository.as_str())
                .push_bind(bits(row.touch))
                .push_bind(touches::span(row.first_at, row.last_at))
                .push_bind(row.first_at.as_micros())
                .push_bind(row.last_at.as_micros())
                .push_bind(count(row.first_seq))
                .push_bind(count(row.last_seq))
                .push_bind(read)
                .push_bind(row.read_digest.as_ref().map(|digest| &digest.as_bytes()[..]))
                .push_bind(written)
                .push_bind(row.written_digest.as_ref().map(|digest| &digest.as_bytes()[..]));
        });
        query.build().execute(&mut *to).await.map_err(writing)?;
    }
    Ok(())
}

pub(crate) async fn list(
    from: &SqlitePool,
    session: SessionId,
    page: &PageRequest,
) -> Result<Page<FileRow>, StoreError> {
    let after = match &page.after {
        None => None,
        Some(cursor) => Some(match cursor::after_key(cursor)? {
            After::Key(path) => path,
            After::Long(head, digest) => {
                let paths = begin_with(from, session, head).await?;
                cursor::resolve(cursor, &digest, paths)?
            }
        }),
    };
    let mut query = QueryBuilder::new("SELECT * FROM file WHERE session = ");
    query.push_bind(session.bytes());
    if let Some(path) = after {
        query.push(" AND path > ").push_bind(path);
    }
    query.push(" ORDER BY path LIMIT ").push_bind(cursor::rows(page));
    let found = query.build().fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &FileRow| cursor::key(last.path.as_bytes()))
}

/// The paths of a session that begin with these bytes.
async fn begin_with(
    from: &SqlitePool,
    session: SessionId,
    head: Vec<u8>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut end = head.clone();
    end.resize(custody_model::path::MAX_PATH_BYTES + 1, u8::MAX);
    let sql = "SELECT path FROM file WHERE session = ? AND path BETWEEN ? AND ?";
    let query = sqlx::query(sql).bind(session.bytes()).bind(head).bind(end);
    let rows = query.fetch_all(from).await.map_err(reading)?;
    rows.iter().map(|row| row.try_get("path").map_err(reading)).collect()
}
