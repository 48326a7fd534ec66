//! Lists of sessions: what a filter lets through, in its order, by page.
//!
//! What somebody may see is a few projects and his own sessions: each is a branch of the query with an index of its
//! own that already has the order, and SQLite merges the branches, so that no more is read than the page takes.

use custody_model::{ProjectName, Timestamp, UserName};
use custody_store::{Page, PageRequest, SessionFilter, SessionRow, SessionSort, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool};

use crate::column::{Id as _, json, reading};
use crate::{cursor, session};

/// Branches of one query; SQLite's limit is 500.
const BRANCHES: usize = 64;

/// From so many hex digits of an id on, few sessions begin like it: a minute of the ids' time.
const SELECTIVE_DIGITS: usize = 8;

/// A part of what a filter lets through. The parts may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Branch<'a> {
    project: Option<&'a ProjectName>,
    requester: Option<&'a UserName>,
    /// One of the filter's states, where each gets a branch of its own.
    state: Option<&'a str>,
}

/// The part of the ids that begin like a text: from … up to.
#[derive(Debug, PartialEq, Eq)]
struct Prefix {
    from: Vec<u8>,
    to: Vec<u8>,
    selective: bool,
}

/// Between these two places, exclusively, of the order (`moment`, `id`).
struct Between {
    low: (i64, Vec<u8>),
    high: (i64, Vec<u8>),
}

pub(crate) async fn list(
    from: &SqlitePool,
    filter: &SessionFilter,
    page: &PageRequest,
) -> Result<Page<SessionRow>, StoreError> {
    let between = between(filter, page)?;
    let prefix = match filter.prefix.as_deref().map(prefix) {
        Some(None) => return Ok(Page { items: Vec::new(), next: None }),
        Some(Some(prefix)) => Some(prefix),
        None => None,
    };
    let mut transaction = from.begin().await.map_err(reading)?;
    let mut keys = Vec::new();
    for branches in branches(filter).chunks(BRANCHES) {
        let mut query = query(filter, branches, &between, prefix.as_ref(), cursor::rows(page));
        let found = query.build().fetch_all(&mut *transaction).await.map_err(reading)?;
        keys.extend(found.iter().map(key).collect::<Result<Vec<_>, _>>()?);
    }
    keys.sort();
    keys.dedup();
    if descending(filter.sort) {
        keys.reverse();
    }
    keys.truncate(usize::try_from(cursor::rows(page)).unwrap_or(usize::MAX));
    let mut items = rows(&mut transaction, &keys).await?;
    transaction.commit().await.map_err(reading)?;
    items.sort_by_cached_key(|row| (moment(filter.sort, row), row.id));
    if descending(filter.sort) {
        items.reverse();
    }
    cursor::page(items, page, |last| {
        cursor::moment(letter(filter.sort), moment(filter.sort, last), last.id.bytes())
    })
}

fn key(row: &SqliteRow) -> Result<(i64, Vec<u8>), StoreError> {
    Ok((row.try_get("moment").map_err(reading)?, row.try_get("id").map_err(reading)?))
}

async fn rows(
    from: &mut SqliteConnection,
    keys: &[(i64, Vec<u8>)],
) -> Result<Vec<SessionRow>, StoreError> {
    let ids: Vec<String> = keys.iter().map(|(_, id)| hex::encode(id)).collect();
    let sql = "SELECT * FROM session WHERE id IN (SELECT unhex(value) FROM json_each(?))";
    let query = sqlx::query(sql).bind(json(&ids)?);
    query.fetch_all(from).await.map_err(reading)?.iter().map(session::read).collect()
}

/// Letter of the cursors of a list in this order.
fn letter(sort: SessionSort) -> char {
    match sort {
        SessionSort::NewestFirst => 'n',
        SessionSort::OldestFirst => 'o',
        SessionSort::LastChangedFirst => 'c',
    }
}

fn descending(sort: SessionSort) -> bool {
    match sort {
        SessionSort::NewestFirst | SessionSort::LastChangedFirst => true,
        SessionSort::OldestFirst => false,
    }
}

fn moment(sort: SessionSort, row: &SessionRow) -> Timestamp {
    match sort {
        SessionSort::NewestFirst | SessionSort::OldestFirst => row.requested_at,
        SessionSort::LastChangedFirst => row.updated_at,
    }
}

/// Where the page lies in its order: after the cursor, and inside of the filter's time where the order is that of it.
fn between(filter: &SessionFilter, page: &PageRequest) -> Result<Between, StoreError> {
    // No id is empty, so that what begins at a moment is after this, and what ends before it is before.
    let edge = |at: Timestamp| (at.as_micros(), Vec::new());
    let (mut low, mut high) = ((i64::MIN, Vec::new()), cursor::latest());
    match filter.sort {
        SessionSort::NewestFirst | SessionSort::OldestFirst => {
            low = filter.since.map_or(low, edge);
            high = filter.until.map_or(high, edge);
        }
        SessionSort::LastChangedFirst => {}
    }
    if let Some(after) = &page.after {
        let after = cursor::after_moment(letter(filter.sort), after)?;
        if descending(filter.sort) {
            high = high.min(after);
        } else {
            low = low.max(after);
        }
    }
    Ok(Between { low, high })
}

fn branches(filter: &SessionFilter) -> Vec<Branch<'_>> {
    let visible = &filter.visibility;
    let (project, requester) = (filter.project.as_ref(), filter.requester.as_ref());
    let wanted = Branch { project, requester, state: None };
    let own = visible.own.as_ref();
    // A filter that stays inside of what is visible is one branch.
    let inside = visible.everything
        || project.is_some_and(|project| visible.projects.contains(project))
        || requester.is_some_and(|requester| own == Some(requester));
    let mut branches = Vec::new();
    if inside {
        branches.push(wanted);
    } else {
        if project.is_none() {
            let of = |project| Branch { project: Some(project), ..wanted };
            branches.extend(visible.projects.iter().map(of));
        }
        if let Some(own) = own.filter(|_| requester.is_none()) {
            branches.push(Branch { requester: Some(own), ..wanted });
        }
    }
    // Nearly all sessions end up sealed: only the other states narrow a list.
    if filter.states.is_empty() || filter.states.contains("sealed") {
        return branches;
    }
    let in_state = |branch: Branch<'_>| branch.requester.is_none();
    branches
        .into_iter()
        .flat_map(|branch| {
            let states: Vec<Option<&str>> = if in_state(branch) {
                filter.states.iter().map(|state| Some(state.as_str())).collect()
            } else {
                vec![None]
            };
            states.into_iter().map(move |state| Branch { state, ..branch })
        })
        .collect()
}

/// The ids that begin like this text; `None` if there can be none.
fn prefix(text: &str) -> Option<Prefix> {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    if text.len() > custody_model::id::ID_TEXT_BYTES {
        return None;
    }
    let mut digits = String::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'-' if HYPHENS.contains(&at) => {}
            b'0'..=b'9' | b'a'..=b'f' if !HYPHENS.contains(&at) => digits.push(char::from(byte)),
            _ => return None,
        }
    }
    let fill = |with: char| {
        let mut filled = digits.clone();
        while filled.len() < 32 {
            filled.push(with);
        }
        hex::decode(filled).ok()
    };
    let selective = digits.len() >= SELECTIVE_DIGITS;
    Some(Prefix { from: fill('0')?, to: fill('f')?, selective })
}

/// The index that a branch is read by: it narrows by what is compared first, and has the list's order.
fn index(filter: &SessionFilter, branch: &Branch<'_>, prefix: Option<&Prefix>) -> String {
    if prefix.is_some_and(|prefix| prefix.selective) {
        return "session_id".to_owned();
    }
    let by = match filter.sort {
        SessionSort::NewestFirst | SessionSort::OldestFirst => "requested",
        SessionSort::LastChangedFirst => "updated",
    };
    let first = if branch.requester.is_some() {
        "requester_"
    } else if branch.state.is_some() {
        "state_"
    } else if filter.repository.is_some() {
        "repository_"
    } else if branch.project.is_some() {
        "project_"
    } else {
        ""
    };
    format!("session_{first}{by}")
}

fn query(
    filter: &SessionFilter,
    branches: &[Branch<'_>],
    between: &Between,
    prefix: Option<&Prefix>,
    limit: i64,
) -> QueryBuilder<Sqlite> {
    let moment = match filter.sort {
        SessionSort::NewestFirst | SessionSort::OldestFirst => "requested_at",
        SessionSort::LastChangedFirst => "updated_at",
    };
    let mut query = QueryBuilder::new("");
    for (at, branch) in branches.iter().enumerate() {
        let union = if at == 0 { "" } else { " UNION " };
        query.push(format!(
            "{union}SELECT {moment} AS moment, id FROM session INDEXED BY {} WHERE ",
            index(filter, branch, prefix)
        ));
        let mut equal = |column: &str, value: Option<&str>| {
            if let Some(value) = value {
                query.push(format!("{column} = ")).push_bind(value.to_owned()).push(" AND ");
            }
        };
        equal("project", branch.project.map(ProjectName::as_str));
        equal("requester", branch.requester.map(UserName::as_str));
        equal("repository", filter.repository.as_deref());
        equal("state_name", branch.state);
        if branch.state.is_none() && !filter.states.is_empty() {
            let mut states = query.push("state_name IN (").separated(", ");
            for state in &filter.states {
                states.push_bind(state.clone());
            }
            query.push(") AND ");
        }
        if filter.sort == SessionSort::LastChangedFirst {
            let mut time = |operator: &str, at: Option<Timestamp>| {
                if let Some(at) = at {
                    query.push(format!("requested_at {operator} ")).push_bind(at.as_micros());
                    query.push(" AND ");
                }
            };
            time(">=", filter.since);
            time("<", filter.until);
        }
        if let Some(prefix) = prefix {
            query.push("id BETWEEN ").push_bind(prefix.from.clone());
            query.push(" AND ").push_bind(prefix.to.clone()).push(" AND ");
        }
        for (operator, (at, id)) in [(">", &between.low), ("<", &between.high)] {
            let and = if operator == ">" { "" } else { " AND " };
            query.push(format!("{and}({moment}, id) {operator} (")).push_bind(*at);
            query.push(", ").push_bind(id.clone()).push(")");
        }
    }
    let direction = if descending(filter.sort) { "DESC" } else { "ASC" };
    query.push(format!(" ORDER BY moment {direction}, id {direction} LIMIT ")).push_bind(limit);
    query
}
