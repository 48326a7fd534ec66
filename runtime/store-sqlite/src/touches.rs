//! What sessions did to paths within a time.
//!
//! Two spans of time overlap by two comparisons, and an index narrows by one. So each row has a class of how long its
//! span is: within a class what overlaps `from … until` ends between `from` and `until` plus the class's length, which
//! is one range of the index, however many sessions touched the path before and after.

use std::collections::BTreeSet;

use custody_model::{SessionId, Timestamp, WorkspacePath};
use custody_store::{FileRow, StoreError};
use sqlx::SqlitePool;

use crate::column::{Id as _, json, reading};
use crate::file;

/// The longest span of each class, in microseconds: a minute, an hour, a day, any.
const CLASSES: [u64; 4] = [60_000_000, 3_600_000_000, 86_400_000_000, u64::MAX];

/// The class of a span.
pub(crate) fn span(first: Timestamp, last: Timestamp) -> i64 {
    let length = last.micros_since(first);
    let class = CLASSES.iter().take_while(|longest| length > **longest).count();
    i64::try_from(class).unwrap_or(i64::MAX)
}

/// `?1` paths in hex, `?2` classes with the latest end, `?3` repository, `?4` from, `?5` until, `?6` except, `?7` limit.
const TOUCHES: &str = "\
SELECT file.* FROM (
    SELECT touched.session, touched.path, touched.last_at
    FROM json_each(?1) AS wanted CROSS JOIN json_each(?2) AS class
    CROSS JOIN file AS touched INDEXED BY file_touched
    WHERE touched.repository = ?3 AND touched.path = unhex(wanted.value) AND touched.span = class.value ->> 0
        AND touched.last_at >= ?4 AND touched.last_at <= class.value ->> 1
        AND touched.first_at <= ?5 AND touched.session <> ?6
    ORDER BY touched.last_at DESC, touched.path, touched.session LIMIT ?7
) AS found CROSS JOIN file ON file.session = found.session AND file.path = found.path
ORDER BY found.last_at DESC, found.path, found.session";

pub(crate) async fn touches(
    db: &SqlitePool,
    repository: &str,
    paths: &[WorkspacePath],
    from: Timestamp,
    until: Timestamp,
    except: SessionId,
    limit: usize,
) -> Result<Vec<FileRow>, StoreError> {
    let paths: BTreeSet<String> = paths.iter().map(|path| hex::encode(path.as_bytes())).collect();
    let latest = |longest: u64| until.as_micros().saturating_add_unsigned(longest);
    let classes: Vec<(usize, i64)> =
        CLASSES.iter().enumerate().map(|(class, longest)| (class, latest(*longest))).collect();
    sqlx::query(TOUCHES)
        .bind(json(&paths)?)
        .bind(json(&classes)?)
        .bind(repository)
        .bind(from.as_micros())
        .bind(until.as_micros())
        .bind(except.bytes())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(db)
        .await
        .map_err(reading)?
        .iter()
        .map(file::read)
        .collect()
}
