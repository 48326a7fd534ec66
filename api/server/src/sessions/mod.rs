//! Sessions, as the API has them.

mod approve;
mod create;
mod erase;
mod get;
mod hold;
mod list;
mod place;
mod reject;
mod signal;
mod stop;

use custody_api_types::session::{Approval, Counts, Session, Stop};
use custody_store::{ApprovalRow, SessionRow, StopRow};

pub(crate) use approve::approve;
pub(crate) use create::create;
pub(crate) use erase::erase;
pub(crate) use get::get;
pub(crate) use hold::{hold, release};
pub(crate) use list::list;
pub(crate) use reject::reject;
pub(crate) use signal::signal;
pub(crate) use stop::stop;

/// A session as clients see it; its place in line is [`place`]'s, its retention [`crate::retention`]'s.
pub(crate) fn shown(row: SessionRow) -> Session {
    let request = row.request;
    Session {
        id: row.id,
        project: row.project,
        requester: request.requester,
        requested_at: row.requested_at,
        repository: request.repository,
        base_commit: request.base_commit,
        base_tree: request.base_tree,
        dirty: request.dirty,
        command: request.command,
        image: request.image,
        environment: request.environment,
        limits: request.limits,
        strict: request.strict,
        policy: row.policy,
        policy_name: row.policy_name,
        rule: row.rule,
        approvals_wanted: row.approvals_wanted,
        approvers: row.approvers,
        approvals: row.approvals.into_iter().map(approval).collect(),
        state: row.state,
        place: None,
        updated_at: row.updated_at,
        stop: row.stop.map(stopped),
        outcome: row.outcome,
        reason: row.reason,
        exit: row.exit,
        events: row.events,
        root: row.root,
        counts: Counts {
            read: row.counts.read,
            written: row.counts.written,
            removed: row.counts.removed,
            executed: row.counts.executed,
            denied: row.counts.denied,
            egress_denied: row.counts.egress_denied,
            gaps: row.counts.gaps,
        },
        commit: row.commit,
        erased: None,
        witnesses: None,
        retention: None,
    }
}

fn approval(row: ApprovalRow) -> Approval {
    let ApprovalRow { approver, at, request, policy, comment } = row;
    Approval { approver, at, request, policy, comment }
}

fn stopped(row: StopRow) -> Stop {
    let StopRow { by, at, reason } = row;
    Stop { by, at, reason }
}
