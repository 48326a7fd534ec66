//! Lists of sessions, against a plain filter over the same rows.

use std::cell::Cell;
use std::collections::BTreeSet;

use custody_model::state::session::{SessionState, StopReason};
use custody_model::{SessionId, Timestamp};

use super::pages::{walk, walk_while};
use super::rows::{
    Random, project_name, save_sessions, second, session, session_id, user_name, whole_session,
};
use crate::{MAX_PAGE, PageRequest, SessionFilter, SessionRow, SessionSort, Store, Visibility};

const SORTS: [SessionSort; 3] =
    [SessionSort::NewestFirst, SessionSort::OldestFirst, SessionSort::LastChangedFirst];
const PROJECTS: [&str; 4] = ["core", "docs", "web", "web-2"];
const USERS: [&str; 4] = ["ada", "bob", "o'neil %", "zoë"];
const REPOSITORIES: [&str; 3] = ["parser", "Parser", "a 'b' %"];

fn state(name: &str, at: Timestamp) -> SessionState {
    let why = || "why".to_owned();
    let state = match name {
        "requested" => SessionState::requested(at),
        "awaiting_approval" => SessionState::AwaitingApproval { requested_at: at, since: at },
        "queued" => SessionState::Queued { since: at, approvers: Vec::new() },
        "running" => SessionState::Running { started_at: at, paused_micros: 7 },
        "sealed" => SessionState::Sealed { at, reason: StopReason::CommandEnded },
        "failed" => SessionState::Failed { at, reason: why() },
        "interrupted" => SessionState::Interrupted { at, reason: why() },
        "lost" => SessionState::Lost { at, reason: why() },
        other => panic!("no row of the suite is {other}"),
    };
    assert_eq!(state.name(), name);
    state
}

const STATES: [&str; 10] = [
    "requested",
    "awaiting_approval",
    "queued",
    "running",
    "sealed",
    "sealed",
    "sealed",
    "failed",
    "interrupted",
    "lost",
];

/// Sessions of all kinds, many of them of the same moment.
pub(super) fn mixed(random: &mut Random, count: u64) -> Vec<SessionRow> {
    (0..count)
        .map(|n| {
            let mut row = if n % 5 == 0 { whole_session(n) } else { session(n) };
            row.project = project_name(random.one(&PROJECTS));
            row.request.requester = user_name(random.one(&USERS));
            random.one(&REPOSITORIES).clone_into(&mut row.request.repository);
            row.requested_at = second(random.below(count / 3));
            row.updated_at = second(count + random.below(count / 3));
            row.state = state(random.one(&STATES), row.updated_at);
            row
        })
        .collect()
}

/// What a filter lets through, in its order: the plain way.
pub(super) fn plain(rows: &[SessionRow], filter: &SessionFilter) -> Vec<SessionId> {
    let mut found: Vec<&SessionRow> = rows
        .iter()
        .filter(|row| {
            filter.visibility.shows(row)
                && filter.project.as_ref().is_none_or(|project| *project == row.project)
                && filter.requester.as_ref().is_none_or(|user| *user == row.request.requester)
                && filter.repository.as_ref().is_none_or(|name| *name == row.request.repository)
                && (filter.states.is_empty() || filter.states.contains(row.state.name()))
                && filter.since.is_none_or(|since| row.requested_at >= since)
                && filter.until.is_none_or(|until| row.requested_at < until)
                && filter.prefix.as_ref().is_none_or(|p| row.id.to_string().starts_with(p))
        })
        .collect();
    found.sort_by_key(|row| match filter.sort {
        SessionSort::NewestFirst | SessionSort::OldestFirst => (row.requested_at, row.id),
        SessionSort::LastChangedFirst => (row.updated_at, row.id),
    });
    match filter.sort {
        SessionSort::OldestFirst => {}
        SessionSort::NewestFirst | SessionSort::LastChangedFirst => found.reverse(),
    }
    found.iter().map(|row| row.id).collect()
}

fn some<T>(random: &mut Random, one_in: u64, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (random.below(one_in) == 0).then(|| make(random))
}

/// A filter of any combination.
pub(super) fn any_filter(random: &mut Random, count: u64) -> SessionFilter {
    let visibility = Visibility {
        everything: random.below(3) == 0,
        projects: (0..random.below(4)).map(|_| project_name(random.one(&PROJECTS))).collect(),
        own: some(random, 2, |random| user_name(random.one(&USERS))),
    };
    SessionFilter {
        visibility,
        project: some(random, 3, |random| project_name(random.one(&PROJECTS))),
        requester: some(random, 3, |random| user_name(random.one(&USERS))),
        repository: some(random, 4, |random| random.one(&REPOSITORIES).to_owned()),
        states: match random.below(3) {
            0 => (0..random.below(4)).map(|_| random.one(&STATES).to_owned()).collect(),
            _ => BTreeSet::new(),
        },
        since: some(random, 3, |random| second(random.below(count / 3))),
        until: some(random, 3, |random| second(random.below(count / 3))),
        prefix: some(random, 5, |random| {
            let id = session_id(random.below(count)).to_string();
            let length = random.below(12);
            id[..usize::try_from(length).expect("small")].to_owned()
        }),
        sort: random.one(&SORTS),
    }
}

pub(super) fn ids(rows: &[SessionRow]) -> Vec<SessionId> {
    rows.iter().map(|row| row.id).collect()
}

/// Each filter alone and 400 combinations of them, in each order.
pub async fn every_filter_in_every_order_gives_what_it_says(store: &dyn Store) {
    const COUNT: u64 = 240;
    let mut random = Random(1);
    let rows = mixed(&mut random, COUNT);
    save_sessions(store, &rows).await;
    let all = SessionFilter::all(Visibility::everything());
    let mut filters = vec![
        all.clone(),
        SessionFilter { project: Some(project_name("web")), ..all.clone() },
        SessionFilter { project: Some(project_name("nobody-s")), ..all.clone() },
        SessionFilter { requester: Some(user_name("o'neil %")), ..all.clone() },
        SessionFilter { repository: Some("a 'b' %".to_owned()), ..all.clone() },
        SessionFilter { states: BTreeSet::from(["running".to_owned()]), ..all.clone() },
        SessionFilter {
            states: BTreeSet::from(["sealed".to_owned(), "failed".to_owned()]),
            ..all.clone()
        },
        SessionFilter { states: BTreeSet::from(["no such state".to_owned()]), ..all.clone() },
        SessionFilter { since: Some(second(30)), until: Some(second(50)), ..all.clone() },
        SessionFilter { since: Some(second(50)), until: Some(second(30)), ..all },
    ];
    filters.extend((0..400).map(|_| any_filter(&mut random, COUNT)));
    let mut found = 0;
    for filter in filters {
        for sort in SORTS {
            let filter = SessionFilter { sort, ..filter.clone() };
            let page = store.sessions(&filter, &PageRequest::first(MAX_PAGE)).await;
            let page = page.expect("a page");
            assert_eq!(ids(&page.items), plain(&rows, &filter), "{filter:?}");
            assert!(page.next.is_none());
            found += page.items.len();
        }
    }
    assert!(found > 1_000, "the filters let only {found} sessions through");
}

/// Pages of any size make up the same list, whole rows included.
pub async fn the_pages_of_every_filter_make_up_its_list(store: &dyn Store) {
    const COUNT: u64 = 120;
    let mut random = Random(2);
    let rows = mixed(&mut random, COUNT);
    save_sessions(store, &rows).await;
    let mut filters: Vec<SessionFilter> = SORTS
        .map(|sort| SessionFilter { sort, ..SessionFilter::all(Visibility::everything()) })
        .to_vec();
    filters.extend((0..60).map(|_| any_filter(&mut random, COUNT)));
    for (n, filter) in filters.iter().enumerate() {
        let expected = plain(&rows, filter);
        // Each size for the first three; later three that are likely to hit an edge.
        let limits = if n < 3 { (1..=25).collect() } else { vec![1, 7, expected.len().max(1)] };
        for limit in limits {
            let found = walk(limit, async |page| store.sessions(filter, &page).await).await;
            assert_eq!(ids(&found), expected, "by pages of {limit}: {filter:?}");
            for row in found {
                assert!(rows.contains(&row), "{row:?} is not what was saved");
            }
        }
    }
}

/// In each order: whoever pages while sessions come gets each that was there from the start once.
pub async fn sessions_that_come_meanwhile_hide_and_double_none(store: &dyn Store) {
    let old: Vec<SessionRow> = (0..60).map(|n| session(1_000 + n * 2)).collect();
    save_sessions(store, &old).await;
    let came = Cell::new(0_u64);
    let more = async || {
        let n = came.get();
        came.set(n + 1);
        save_sessions(store, &[session(n), session(1_001 + n * 2), session(9_000 + n)]).await;
    };
    for sort in SORTS {
        let visibility = Visibility {
            everything: false,
            projects: BTreeSet::from([project_name("core")]),
            own: Some(user_name("ada")),
        };
        let filter = SessionFilter { sort, ..SessionFilter::all(visibility) };
        let found = walk_while(4, async |page| store.sessions(&filter, &page).await, more).await;
        let seen: BTreeSet<SessionId> = found.iter().map(|row| row.id).collect();
        assert_eq!(seen.len(), found.len(), "{sort:?}: none twice");
        assert!(old.iter().all(|row| seen.contains(&row.id)), "{sort:?}: none is missing");
    }
    // And with writers and readers at the same moment.
    let filter = SessionFilter::all(Visibility::everything());
    let writing = async {
        for n in 0..100 {
            save_sessions(store, &[session(20_000 + n), session(500 + n)]).await;
        }
    };
    let reading = walk(3, async |page| store.sessions(&filter, &page).await);
    let ((), found) = tokio::join!(writing, reading);
    let seen: BTreeSet<SessionId> = found.iter().map(|row| row.id).collect();
    assert_eq!(seen.len(), found.len(), "none twice");
    assert!(old.iter().all(|row| seen.contains(&row.id)), "none is missing");
}

/// A session that is saved again, changed, moves to the head of the list by last change, and is filtered by what it
/// is now.
pub async fn sessions_that_change_are_listed_by_their_last_change(store: &dyn Store) {
    let mut rows: Vec<SessionRow> = (0..30).map(session).collect();
    save_sessions(store, &rows).await;
    let mut random = Random(3);
    for n in 0..60 {
        let at = usize::try_from(random.below(30)).expect("small");
        let row = &mut rows[at];
        row.updated_at = second(100 + n);
        row.state = state(random.one(&STATES), row.updated_at);
        row.project = project_name(random.one(&PROJECTS));
        save_sessions(store, &rows[at..=at]).await;
        let all = SessionFilter::all(Visibility::everything());
        let changed = SessionFilter { sort: SessionSort::LastChangedFirst, ..all.clone() };
        let states = BTreeSet::from(["queued".to_owned(), "running".to_owned()]);
        let project = Some(project_name("docs"));
        for filter in [
            changed.clone(),
            SessionFilter { states, ..changed.clone() },
            SessionFilter { project, ..changed },
            all,
        ] {
            let page = store.sessions(&filter, &PageRequest::first(50)).await.expect("a page");
            assert_eq!(ids(&page.items), plain(&rows, &filter));
        }
    }
}

/// All sessions in these states.
pub async fn sessions_in_a_state_come_oldest_first(store: &dyn Store) {
    let rows = mixed(&mut Random(4), 200);
    save_sessions(store, &rows).await;
    for states in [&["running"][..], &["queued", "running", "failed"], &["sealed", "none"], &[]] {
        let found = store.sessions_in(states).await.expect("a read");
        let mut expected: Vec<&SessionRow> =
            rows.iter().filter(|row| states.contains(&row.state.name())).collect();
        expected.sort_by_key(|row| (row.requested_at, row.id));
        assert!(found.iter().eq(expected), "{states:?}");
    }
}

/// A list that is far longer than a page.
pub async fn ten_thousand_sessions_are_listed_by_page(store: &dyn Store) {
    let rows = mixed(&mut Random(5), 10_000);
    save_sessions(store, &rows).await;
    for sort in SORTS {
        let filter = SessionFilter { sort, ..SessionFilter::all(Visibility::everything()) };
        let found = walk(MAX_PAGE, async |page| store.sessions(&filter, &page).await).await;
        assert_eq!(ids(&found), plain(&rows, &filter), "{sort:?}");
    }
    let own = Visibility {
        everything: false,
        projects: BTreeSet::from([project_name("web"), project_name("docs")]),
        own: Some(user_name("bob")),
    };
    let filter = SessionFilter::all(own);
    let found = walk(173, async |page| store.sessions(&filter, &page).await).await;
    assert_eq!(ids(&found), plain(&rows, &filter));
}
