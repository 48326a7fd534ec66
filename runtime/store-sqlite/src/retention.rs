//! Which sessions' content has an end, the soonest first; and which are held.
//!
//! All sessions of one policy version are kept for as long, so that an index by closing time has them in the order of their
//! ends: a page is merged from a few rows of each version, however many sessions there are.

use custody_model::Timestamp;
use custody_store::{HoldRow, KeptFilter, KeptRow, Page, PageRequest, SessionRow, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::column::{Fields, Id as _, reading};
use crate::{cursor, session};

/// Letter of the cursors of what has an end.
const KEPT: char = 'e';

/// Letter of the cursors of what is held.
const HELD: char = 'h';

/// The policy versions whose sessions have an end, with that of the project's active version: the longer one counts.
const VERSIONS: &str = "\
SELECT version.project, version.digest, version.content_seconds AS own, active.content_seconds AS active,
    active.digest IS NOT NULL AS decides, project.hold
FROM policy AS version INDEXED BY policy_class
LEFT JOIN project ON project.name = version.project
LEFT JOIN policy AS active ON active.project = project.name AND active.digest = project.active_policy
WHERE version.content_seconds IS NOT NULL";

/// What sessions of one policy version have in common.
struct Version {
    project: String,
    digest: Vec<u8>,
    micros: i64,
    hold: Option<HoldRow>,
}

/// A session of a version, as the index tells it.
struct Key {
    ends_at: i64,
    id: Vec<u8>,
    version: usize,
}

pub(crate) async fn kept(
    from: &SqlitePool,
    filter: &KeptFilter,
    page: &PageRequest,
) -> Result<Page<KeptRow>, StoreError> {
    let after = page.after.as_ref().map(|after| cursor::after_moment(KEPT, after)).transpose()?;
    let after = after.unwrap_or((i64::MIN, Vec::new()));
    let until = filter.ends_by.map_or(i64::MAX, Timestamp::as_micros);
    let mut transaction = from.begin().await.map_err(reading)?;
    let versions = versions(&mut transaction, filter).await?;
    let mut keys = Vec::new();
    for (at, version) in versions.iter().enumerate() {
        keys.extend(of(&mut transaction, at, version, filter.free, &after, until, page).await?);
    }
    keys.sort_by(|a, b| (a.ends_at, &a.id).cmp(&(b.ends_at, &b.id)));
    keys.truncate(usize::try_from(cursor::rows(page)).unwrap_or(usize::MAX));
    let mut items = Vec::new();
    for key in &keys {
        let query = sqlx::query("SELECT * FROM session WHERE id = ?").bind(&key.id);
        let row = query.fetch_one(&mut *transaction).await.map_err(reading)?;
        items.push(KeptRow {
            session: session::read(&row)?,
            ends_at: Timestamp::from_micros(key.ends_at),
            project_hold: versions[key.version].hold.clone(),
        });
    }
    transaction.commit().await.map_err(reading)?;
    cursor::page(items, page, |last: &KeptRow| {
        cursor::moment(KEPT, last.ends_at, last.session.id.bytes())
    })
}

async fn versions(
    from: &mut SqliteConnection,
    filter: &KeptFilter,
) -> Result<Vec<Version>, StoreError> {
    let found = sqlx::query(VERSIONS).fetch_all(from).await.map_err(reading)?;
    let mut versions = Vec::new();
    for row in &found {
        let fields = Fields::of("policy", row);
        let project: String = fields.get("project")?;
        let hold: Option<HoldRow> = Fields::of("project", row).json_of("hold")?;
        let own: i64 = fields.get("own")?;
        let longer = match (fields.get::<bool>("decides")?, fields.get::<Option<i64>>("active")?) {
            (true, None) => continue, // The active version keeps everything for ever.
            (true, Some(active)) => active,
            (false, _) => own,
        };
        let other = filter.project.as_ref().is_some_and(|wanted| wanted.as_str() != project);
        if other || (filter.free && hold.is_some()) {
            continue;
        }
        let (digest, micros) = (fields.get("digest")?, own.max(longer).saturating_mul(1_000_000));
        versions.push(Version { project, digest, micros, hold });
    }
    Ok(versions)
}

/// The first sessions of a version after a place, as many as a page takes.
async fn of(
    from: &mut SqliteConnection,
    at: usize,
    version: &Version,
    free: bool,
    after: &(i64, Vec<u8>),
    until: i64,
    page: &PageRequest,
) -> Result<Vec<Key>, StoreError> {
    // Each by an index of its own: what is held for years would be walked through in each pass else.
    let sql = if free {
        "SELECT closed_at, id FROM session INDEXED BY session_free WHERE project = ? AND policy = ? \
         AND closed_at IS NOT NULL AND erased_at IS NULL AND hold IS NULL \
         AND (closed_at, id) > (?, ?) AND closed_at <= ? ORDER BY closed_at, id LIMIT ?"
    } else {
        "SELECT closed_at, id FROM session INDEXED BY session_kept WHERE project = ? AND policy = ? \
         AND closed_at IS NOT NULL AND erased_at IS NULL \
         AND (closed_at, id) > (?, ?) AND closed_at <= ? ORDER BY closed_at, id LIMIT ?"
    };
    let query = sqlx::query(sql)
        .bind(&version.project)
        .bind(&version.digest)
        .bind(after.0.saturating_sub(version.micros))
        .bind(&after.1)
        .bind(until.saturating_sub(version.micros))
        .bind(cursor::rows(page));
    let found = query.fetch_all(from).await.map_err(reading)?;
    let key = |row: &SqliteRow| {
        let closed_at: i64 = row.try_get("closed_at").map_err(reading)?;
        Ok(Key {
            ends_at: closed_at.saturating_add(version.micros),
            id: row.try_get("id").map_err(reading)?,
            version: at,
        })
    };
    found.iter().map(key).collect()
}

pub(crate) async fn held(
    from: &SqlitePool,
    page: &PageRequest,
) -> Result<Page<SessionRow>, StoreError> {
    let after = page.after.as_ref().map(|after| cursor::after_moment(HELD, after)).transpose()?;
    let (_, after) = after.unwrap_or_default();
    let sql = "SELECT * FROM session INDEXED BY session_held WHERE hold IS NOT NULL AND id > ? \
               ORDER BY id LIMIT ?";
    let query = sqlx::query(sql).bind(after).bind(cursor::rows(page));
    let found = query.fetch_all(from).await.map_err(reading)?;
    let items = found.iter().map(session::read).collect::<Result<_, _>>()?;
    cursor::page(items, page, |last: &SessionRow| {
        cursor::moment(HELD, last.requested_at, last.id.bytes())
    })
}
