//! Neighbours: other sessions that touched the same files, and when.
//!
//! The store is asked for what others did to the paths of one session, the changed ones first; what that means is
//! [`overlap`]'s to say.

mod overlap;

use std::time::Duration;

use custody_model::state::session::SessionState;
use custody_model::{ProjectName, SessionId, Timestamp, UserName, WorkspacePath};
use custody_store::{FileRow, MAX_PAGE, PageRequest, Store, StoreError, Visibility};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attribute::Assurance;
use crate::summary::Summary;
pub use overlap::{Deed, Overlap, Relation, SharedPath, Side, Span, WhoDid, overlaps};

/// How far before and after a session is looked, unless something else is asked for: 30 days.
pub const DEFAULT_WINDOW: Duration = Duration::from_secs(30 * 86_400);

/// The farthest that can be asked for: ten years.
pub const MAX_WINDOW: Duration = Duration::from_secs(3_650 * 86_400);

/// Neighbours that are named, unless something else is asked for.
pub const DEFAULT_SESSIONS: usize = 20;

/// Shared paths that are named of each neighbour, unless something else is asked for.
pub const DEFAULT_PATHS: usize = 10;

/// Paths of the session that are compared: the changed ones first.
pub const MAX_COMPARED: usize = 200;

/// Paths of the session that are looked through for the ones to compare.
pub const MAX_LISTED: usize = 10_000;

/// Rows that are read for each question to the store.
pub const MAX_ROWS: usize = 1_000;

/// How far is looked, and how much is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// So long before the session, at most [`MAX_WINDOW`].
    pub before: Duration,
    /// So long after it, at most [`MAX_WINDOW`].
    pub after: Duration,
    /// Most neighbours that are named.
    pub sessions: usize,
    /// Most shared paths that are named of each.
    pub paths: usize,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            before: DEFAULT_WINDOW,
            after: DEFAULT_WINDOW,
            sessions: DEFAULT_SESSIONS,
            paths: DEFAULT_PATHS,
        }
    }
}

/// The neighbours of one session. All of it is observed: rows of the index, each with its events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbours {
    /// From when on others were looked for …
    pub from: Timestamp,
    /// … until when; absent while the session lives.
    pub until: Option<Timestamp>,
    /// Paths of the session that were compared, of …
    pub compared: u64,
    /// … so many (as far as they were listed).
    pub path_count: u64,
    /// Sessions that overlap, as far as rows were read.
    pub session_count: u64,
    /// Those of them that whoever asks may not see, as far as was looked.
    pub hidden: u64,
    /// There may be more: a limit was reached.
    pub cut: bool,
    /// The nearest, the most telling first.
    pub sessions: Vec<Neighbour>,
}

/// A session that touched the same files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// The session.
    pub session: SessionId,
    /// Its project.
    pub project: ProjectName,
    /// Who asked for it.
    pub requester: UserName,
    /// Where it stands.
    pub state: SessionState,
    /// When and how it overlaps.
    #[serde(flatten)]
    pub overlap: Overlap,
    /// How far that can be relied on.
    pub assurance: Assurance,
}

/// Whose neighbours are wanted, and for whom.
#[derive(Clone, Copy)]
pub struct Nearby<'a> {
    /// What is known now.
    pub store: &'a dyn Store,
    /// Which sessions whoever asks may see.
    pub visible: &'a Visibility,
    /// How far is looked.
    pub reach: Reach,
}

impl Nearby<'_> {
    /// The neighbours of the session of this summary; those on `first` first. `None` if the store does not know the
    /// session.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(
        &self,
        summary: &Summary,
        first: Option<&WorkspacePath>,
    ) -> Result<Option<Neighbours>, StoreError> {
        let Some(row) = self.store.session(summary.session).await? else { return Ok(None) };
        let begun = summary.started.or(summary.authorized).map_or(row.requested_at, |m| m.time);
        let span = Span { from: begun, until: summary.closed.map(|moment| moment.time) };
        let (mut own, listed_all) = self.own(summary.session).await?;
        let path_count = own.len() as u64;
        let compared_all = own.len() <= MAX_COMPARED;
        own.sort_by_cached_key(|row| overlap::worth(row, first));
        own.truncate(MAX_COMPARED);

        let from = earlier(span.from, self.reach.before);
        let until = span.until.map(|until| later(until, self.reach.after));
        let (theirs, read_all) =
            self.theirs(summary.session, &row.request.repository, &own, span, from, until).await?;
        let found = overlaps(&own, &theirs, span, first, self.reach.paths);
        let mut near = Neighbours {
            from,
            until,
            compared: own.len() as u64,
            path_count,
            session_count: found.len() as u64,
            hidden: 0,
            cut: !(listed_all && compared_all && read_all),
            sessions: Vec::new(),
        };
        for (session, overlap) in found {
            if near.sessions.len() == self.reach.sessions {
                near.cut = true;
                break;
            }
            let row = self.store.session(session).await?;
            match row.filter(|row| self.visible.shows(row)) {
                Some(row) => near.sessions.push(Neighbour {
                    session,
                    project: row.project,
                    requester: row.request.requester,
                    state: row.state,
                    overlap,
                    assurance: Assurance::Observed,
                }),
                None => near.hidden += 1,
            }
        }
        Ok(Some(near))
    }

    /// What the session touched, and whether that is everything.
    async fn own(&self, session: SessionId) -> Result<(Vec<FileRow>, bool), StoreError> {
        let mut rows = Vec::new();
        let mut page = PageRequest::first(MAX_PAGE);
        while rows.len() < MAX_LISTED {
            let found = self.store.files(session, &page).await?;
            rows.extend(found.items);
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok((rows, true)),
            }
        }
        Ok((rows, false))
    }

    /// What others did to these files, and whether that is everything. Several small questions, so that one file that
    /// everybody reads, or one busy time, takes no room from the rest.
    async fn theirs(
        &self,
        session: SessionId,
        repository: &str,
        own: &[FileRow],
        span: Span,
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<(Vec<FileRow>, bool), StoreError> {
        let (changed, others): (Vec<&FileRow>, Vec<&FileRow>) =
            own.iter().partition(|row| overlap::changed(row));
        let end = Timestamp::from_micros(i64::MAX);
        let times = [
            (span.from, span.until.unwrap_or(end)),
            (from, span.from),
            (span.until.unwrap_or(end), until.unwrap_or(end)),
        ];
        let (mut rows, mut all) = (Vec::new(), true);
        for group in [changed, others] {
            let paths: Vec<WorkspacePath> = group.iter().map(|row| row.path.clone()).collect();
            for (from, until) in times.iter().filter(|(from, until)| from < until) {
                if paths.is_empty() {
                    continue;
                }
                let found = self
                    .store
                    .touches(repository, &paths, *from, *until, session, MAX_ROWS)
                    .await?;
                all &= found.len() < MAX_ROWS;
                rows.extend(found);
            }
        }
        // A row at the edge of two times answers both questions.
        rows.sort_by(|a, b| (a.session, &a.path).cmp(&(b.session, &b.path)));
        rows.dedup_by(|a, b| (a.session, &a.path) == (b.session, &b.path));
        Ok((rows, all))
    }
}

fn micros(window: Duration) -> u64 {
    u64::try_from(window.min(MAX_WINDOW).as_micros()).unwrap_or(u64::MAX)
}

fn earlier(than: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(than.as_micros().saturating_sub_unsigned(micros(by)))
}

fn later(than: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(than.as_micros().saturating_add_unsigned(micros(by)))
}
