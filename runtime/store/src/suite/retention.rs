//! Which sessions' content has an end, and when; which are held.

use std::collections::BTreeSet;

use custody_model::Timestamp;
use custody_model::state::session::{SessionState, StopReason};

use super::rows::{
    Random, digest, hold, policy, project, project_name, save, save_sessions, second, session,
};
use crate::{
    Change, HoldRow, KeptFilter, PageRequest, PolicyRow, ProjectRow, RetentionRow, SessionRow,
    Store,
};

/// The projects of these promises, with the class and the hold of their active version.
const PROJECTS: [(&str, Option<Option<u64>>, bool); 5] = [
    ("plain", None, false),
    ("same", Some(Some(10)), false),
    ("longer", Some(Some(100)), false),
    ("forever", Some(None), false),
    ("held", Some(Some(10)), true),
];

/// Classes of the versions that sessions were requested under.
const CLASSES: [Option<u64>; 4] = [Some(10), Some(20), Some(60), None];

fn version(name: &str, n: u64, seconds: Option<u64>) -> PolicyRow {
    let retention = RetentionRow { content_seconds: seconds, ..RetentionRow::default() };
    PolicyRow { digest: digest(n), retention, ..policy(name, n) }
}

async fn prepare(store: &dyn Store) {
    let mut changes = Vec::new();
    for (name, active, held) in PROJECTS {
        let hold = held.then(|| hold(7));
        let active_policy = active.map(|_| digest(99));
        changes.push(Change::Project(ProjectRow { active_policy, hold, ..project(name, 2) }));
        changes.extend(active.map(|seconds| Change::Policy(version(name, 99, seconds))));
        for (n, seconds) in (0..).zip(CLASSES) {
            changes.push(Change::Policy(version(name, n, seconds)));
        }
    }
    save(store, changes).await;
}

/// A mixture: of every project and version, over or not, held or not, erased or not.
fn mixed(random: &mut Random, count: u64) -> Vec<SessionRow> {
    let one = |n: u64, random: &mut Random| {
        let (name, ..) = random.one(&PROJECTS);
        let at = second(random.below(40));
        let state = if random.below(4) == 0 {
            SessionState::Running { started_at: at, paused_micros: 0 }
        } else {
            SessionState::Sealed { at, reason: StopReason::CommandEnded }
        };
        SessionRow {
            project: project_name(name),
            policy: digest(random.below(4)),
            state,
            hold: (random.below(4) == 0).then(|| hold(n)),
            erased_at: (random.below(4) == 0).then(|| second(n)),
            ..session(n)
        }
    };
    (0..count).map(|n| one(n, random)).collect()
}

/// What the contract says, without an index.
fn expected(rows: &[SessionRow], filter: &KeptFilter) -> Vec<(Timestamp, SessionRow)> {
    let mut found: Vec<(Timestamp, SessionRow)> = Vec::new();
    for row in rows {
        let (name, active, held) =
            *PROJECTS.iter().find(|(name, ..)| *name == row.project.as_str()).expect("known");
        let class = (0..).zip(CLASSES).find(|(n, _)| digest(*n) == row.policy).expect("known").1;
        let longest = match (class, active) {
            (Some(own), Some(Some(active))) => own.max(active),
            (Some(own), None) => own,
            (None, _) | (_, Some(None)) => continue,
        };
        let Some(closed_at) = row.state.closed_at() else { continue };
        let ends_at = closed_at.later_by_seconds(longest);
        let wanted = row.erased_at.is_none()
            && filter.ends_by.is_none_or(|by| ends_at <= by)
            && filter.project.as_ref().is_none_or(|wanted| wanted.as_str() == name)
            && !(filter.free && (held || row.hold.is_some()));
        if wanted {
            found.push((ends_at, row.clone()));
        }
    }
    found.sort_by_key(|(ends_at, row)| (*ends_at, row.id));
    found
}

/// Of every version of every project, held or not, by page: the soonest end first, and nothing that has none.
pub async fn what_has_an_end_comes_in_the_order_of_the_ends(store: &dyn Store) {
    prepare(store).await;
    let rows = mixed(&mut Random(5), 300);
    save_sessions(store, &rows).await;
    let ends = [None, Some(second(0)), Some(second(25)), Some(second(70)), Some(second(900))];
    for ends_by in ends {
        for free in [false, true] {
            for project in [None, Some("longer"), Some("held"), Some("nobody-s")] {
                let project = project.map(project_name);
                let filter = KeptFilter { project, ends_by, free };
                let expected = expected(&rows, &filter);
                for size in [1, 7, 400] {
                    let mut found = Vec::new();
                    let mut page = PageRequest::first(size);
                    loop {
                        let part = store.kept(&filter, &page).await.expect("a page");
                        found.extend(part.items);
                        let Some(next) = part.next else { break };
                        page = PageRequest { limit: size, after: Some(next) };
                    }
                    let plain: Vec<_> =
                        found.iter().map(|row| (row.ends_at, row.session.clone())).collect();
                    assert_eq!(plain, expected, "{filter:?} by {size}");
                    for row in &found {
                        let held = row.session.project.as_str() == "held";
                        assert_eq!(row.project_hold, held.then(|| hold(7)));
                    }
                }
            }
        }
    }
}

/// A moment before its end a session is not due, and at its end it is: for each class that people have.
pub async fn a_session_is_due_at_the_end_of_its_class_and_not_a_moment_before(store: &dyn Store) {
    const DAY: u64 = 86_400;
    let closed_at = second(3);
    let mut changes =
        vec![Change::Project(ProjectRow { active_policy: None, hold: None, ..project("core", 2) })];
    let classes = [180 * DAY, 365 * DAY, 6 * 365 * DAY, 7 * 365 * DAY];
    for (n, seconds) in (0..).zip(classes) {
        changes.push(Change::Policy(version("core", n, Some(seconds))));
        let state = SessionState::Sealed { at: closed_at, reason: StopReason::CommandEnded };
        changes.push(Change::Session(Box::new(SessionRow { state, ..session(n) })));
    }
    save(store, changes).await;
    let due = async |at: Timestamp| {
        let filter = KeptFilter { ends_by: Some(at), free: true, ..KeptFilter::default() };
        store.kept(&filter, &PageRequest::first(10)).await.expect("a page").items.len()
    };
    for (before, seconds) in classes.into_iter().enumerate() {
        let end = closed_at.later_by_seconds(seconds);
        assert_eq!(due(Timestamp::from_micros(end.as_micros() - 1)).await, before);
        assert_eq!(due(end).await, before + 1);
    }
}

/// Held sessions are listed whether or not they are over, until they are released.
pub async fn what_is_held_is_listed_until_it_is_released(store: &dyn Store) {
    let mut rows: Vec<SessionRow> = (0..30).map(session).collect();
    for (row, n) in rows.iter_mut().zip(0..) {
        row.hold = (n % 3 == 0).then(|| hold(n));
    }
    save_sessions(store, &rows).await;
    for size in [1, 4, 100] {
        let (mut found, mut page) = (BTreeSet::new(), PageRequest::first(size));
        loop {
            let part = store.held(&page).await.expect("a page");
            for row in part.items {
                assert!(row.hold.is_some());
                found.insert(row.id);
            }
            let Some(next) = part.next else { break };
            page = PageRequest { limit: size, after: Some(next) };
        }
        assert_eq!(found.len(), 10, "by {size}");
    }
    let released: Vec<SessionRow> =
        rows.into_iter().map(|row| SessionRow { hold: None::<HoldRow>, ..row }).collect();
    save_sessions(store, &released).await;
    assert!(store.held(&PageRequest::first(10)).await.expect("a page").items.is_empty());
}
