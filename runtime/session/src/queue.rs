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
        | SessionState::Interrupted { .. } => row.requested_at,
    }
}
