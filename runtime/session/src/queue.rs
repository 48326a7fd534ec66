//! The line of sessions that wait for room: who is next, and where each stands.
//!
//! Fair by project, then by user: the n-th session of a project stands behind the n-th of every other one, counting those
//! that run. Pure.

use std::collections::{BTreeMap, HashMap};

use custody_model::state::session::SessionState;
use custody_model::{ProjectName, SessionId, UserName};
use custody_store::{LeaseRow, SessionRow};

/// Where a session stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub place: u64,
    /// How many wait.
    pub of: u64,
}

/// The waiting sessions in the order in which they get room.
#[must_use]
pub fn order(waiting: &[SessionRow], running: &[LeaseRow]) -> Vec<SessionId> {
    let mut projects: HashMap<&ProjectName, u64> = HashMap::new();
    let mut users: HashMap<(&ProjectName, &UserName), u64> = HashMap::new();
    for lease in running {
        *projects.entry(&lease.project).or_default() += 1;
        *users.entry((&lease.project, &lease.user)).or_default() += 1;
    }
    let mut oldest: Vec<&SessionRow> = waiting.iter().collect();
    oldest.sort_by_key(|row| (since(row), row.id));
    // In each project by turn of its users …
    let mut turns: BTreeMap<&ProjectName, Vec<(u64, usize)>> = BTreeMap::new();
    for (age, row) in oldest.iter().enumerate() {
        let turn = users.entry((&row.project, &row.request.requester)).or_default();
        turns.entry(&row.project).or_default().push((*turn, age));
        *turn += 1;
    }
    // … and among the projects by turn.
    let mut all: Vec<(u64, usize)> = Vec::new();
    for (project, mut line) in turns {
        line.sort_unstable();
        let begin = projects.get(project).copied().unwrap_or(0);
        all.extend((begin..).zip(line).map(|(turn, (_, age))| (turn, age)));
    }
    all.sort_unstable();
    all.into_iter().filter_map(|(_, age)| oldest.get(age).map(|row| row.id)).collect()
}

/// Where `session` stands; `None` if it does not wait.
#[must_use]
pub fn place(session: SessionId, order: &[SessionId]) -> Option<Place> {
    let index = order.iter().position(|waiting| *waiting == session)?;
    Some(Place { place: index as u64 + 1, of: order.len() as u64 })
}

fn since(row: &SessionRow) -> custody_model::Timestamp {
    match &row.state {
        SessionState::Queued { since, .. } => *since,
        SessionState::Requested { .. }
        | SessionState::AwaitingApproval { .. }
        | SessionState::Provisioning { .. }
        | SessionState::Running { .. }
        | SessionState::Paused { .. }
        | SessionState::Stopping { .. }
        | SessionState::Sealed { .. }
        | SessionState::Refused { .. }
        | SessionState::Failed { .. }
        | SessionState::Interrupted { .. }
        | SessionState::Lost { .. } => row.requested_at,
    }
}

#[cfg(test)]
mod tests {
    use custody_model::{Digest, GitOid, Limits, StartSession, Timestamp};
    use custody_store::{Counts, Holder};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(1_795_461_120_000_000 + second * 1_000_000)
    }

    fn row(project: &str, user: &str, second: i64) -> SessionRow {
        let oid: GitOid = "a".repeat(40).parse().unwrap();
        let request = StartSession {
            requester: user.parse().unwrap(),
            repository: "r".to_owned(),
            base_commit: oid.clone(),
            base_tree: oid,
            dirty: false,
            command: vec!["sh".to_owned()],
            image: "host".to_owned(),
            environment: Vec::new(),
            limits: Limits::default(),
            strict: false,
        };
        let number = u8::try_from(second % 256).unwrap();
        SessionRow {
            id: SessionId::new(at(second), [number; 10]),
            project: project.parse().unwrap(),
            request,
            requested_at: at(second),
            policy: Digest::of(b""),
            policy_name: String::new(),
            rule: String::new(),
            approvals_wanted: 0,
            approvers: Vec::new(),
            approvals: Vec::new(),
            idempotency: None,
            state: SessionState::Queued { since: at(second), approvers: Vec::new() },
            updated_at: at(second),
            stop: None,
            outcome: None,
            reason: None,
            exit: None,
            events: 0,
            root: None,
            counts: Counts::default(),
            commit: None,
            hold: None,
            erased_at: None,
        }
    }

    fn lease(row: &SessionRow) -> LeaseRow {
        LeaseRow {
            session: row.id,
            holder: Holder::new("x"),
            until: at(0),
            user: row.request.requester.clone(),
            project: row.project.clone(),
        }
    }

    fn names(waiting: &[SessionRow], running: &[LeaseRow]) -> Vec<String> {
        let name = |id| {
            let row = waiting.iter().find(|row| row.id == id).unwrap();
            let since = row.requested_at.micros_since(at(0)) / 1_000_000;
            format!("{}/{}/{since}", row.project, row.request.requester)
        };
        order(waiting, running).into_iter().map(name).collect()
    }

    #[test]
    fn projects_take_turns_and_in_them_users_do() {
        let waiting = [
            row("a", "greedy", 1),
            row("a", "greedy", 2),
            row("a", "greedy", 3),
            row("a", "modest", 4),
            row("b", "late", 5),
            row("b", "late", 6),
        ];
        assert_eq!(
            names(&waiting, &[]),
            ["a/greedy/1", "b/late/5", "a/modest/4", "b/late/6", "a/greedy/2", "a/greedy/3"]
        );
        // What runs counts as a turn that was had.
        let running = [lease(&row("a", "greedy", 7)), lease(&row("a", "modest", 8))];
        assert_eq!(names(&waiting, &running)[..3], ["b/late/5", "b/late/6", "a/greedy/1"]);
    }

    #[test]
    fn everybody_who_waits_has_exactly_one_place() {
        let waiting: Vec<SessionRow> = (0..200)
            .map(|n| row(["a", "b", "c"][n % 3], ["x", "y"][n % 2], i64::try_from(n).unwrap()))
            .collect();
        let order = order(&waiting, &[]);
        let mut places: Vec<u64> =
            waiting.iter().map(|row| place(row.id, &order).unwrap().place).collect();
        places.sort_unstable();
        assert_eq!(places, (1..=200).collect::<Vec<u64>>());
        let other = SessionId::new(at(999), [9; 10]);
        assert_eq!(place(other, &order), None);
    }
}
