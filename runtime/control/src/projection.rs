//! From the control log to the store: what each event changes. The same for the event that was just appended and for
//! the one that `reindex` reads.
//!
//! What an event is about and the store does not know changes nothing: the log is what happened.

use custody_model::state::InvalidTransition;
use custody_model::state::session::SessionState;
use custody_model::{Actor, SessionId, Timestamp, UserName};
use custody_record::Blobs;
use custody_record::control::{ControlBody, ControlEvent, SessionRequested};
use custody_record::event::{Decision, WholeList};
use custody_store::{
    ApprovalRow, Change, Counts, PolicyRow, ProjectRow, RepositoryRow, SessionRow, StopRow, Store,
    TokenRow, UserRow,
};

use crate::error::ControlError;
use crate::retention;

/// Role of a policy's document among an event's blobs.
pub const POLICY_ROLE: &str = "policy";

fn one<T>(row: Option<T>, change: impl FnOnce(T) -> Change) -> Vec<Change> {
    row.map(change).into_iter().collect()
}

/// What `event` changes in `store`, which shows everything before it.
///
/// # Errors
/// Those of the store and of documents that the event names.
pub async fn changes(
    store: &dyn Store,
    blobs: &Blobs,
    event: &ControlEvent,
) -> Result<Vec<Change>, ControlError> {
    let at = event.time;
    Ok(match &event.body {
        ControlBody::ServerStarted(_)
        | ControlBody::CallRequested(_)
        | ControlBody::RecordAccessed(_)
        | ControlBody::CallCompleted(_)
        | ControlBody::KeyRotated(_)
        | ControlBody::SessionSignalled(_)
        | ControlBody::SessionAttached(_)
        | ControlBody::EvidenceExported(_)
        | ControlBody::FileQuarantined(_)
        | ControlBody::VaultRewrapStarted(_)
        | ControlBody::VaultRewrapped(_)
        | ControlBody::WitnessRefused(_)
        | ControlBody::WitnessRestored(_)
        | ControlBody::RedactionApplied(_) => Vec::new(),
        ControlBody::ProjectCreated(created) => vec![Change::Project(ProjectRow {
            name: created.project.clone(),
            description: created.description.clone(),
            created_at: at,
            active_policy: None,
            hold: None,
        })],
        ControlBody::PolicyCreated(created) => {
            let blob = event.blobs.iter().find(|blob| blob.role == POLICY_ROLE);
            let document = blob.map(|blob| blobs.get(&blob.digest)).transpose()?;
            let document = String::from_utf8_lossy(&document.unwrap_or_default()).into_owned();
            vec![Change::Policy(PolicyRow {
                project: created.project.clone(),
                digest: created.policy,
                name: created.name.clone(),
                created_at: at,
                created_by: user_of(&event.actor),
                retention: retention::of_document(&document),
                document,
            })]
        }
        ControlBody::PolicyActivated(activated) => {
            let row = store.project(&activated.project).await?;
            let version = store.policy(&activated.project, &activated.policy).await?;
            let hold = version.and_then(|version| version.retention.hold);
            one(row, |row| {
                Change::Project(ProjectRow {
                    active_policy: Some(activated.policy),
                    hold: retention::held_on(row.hold, hold, event),
                    ..row
                })
            })
        }
        ControlBody::RepositoryRegistered(registered) => {
            vec![Change::Repository(RepositoryRow {
                name: registered.repository.clone(),
                project: registered.project.clone(),
                source: registered.source.clone(),
                registered_at: at,
            })]
        }
        ControlBody::UserCreated(granted) => vec![Change::User(UserRow {
            name: granted.user.clone(),
            grants: granted.grants.clone(),
            created_at: at,
            disabled_at: None,
        })],
        ControlBody::UserGranted(granted) => {
            let row = store.user(&granted.user).await?;
            one(row, |row| Change::User(UserRow { grants: granted.grants.clone(), ..row }))
        }
        ControlBody::UserDisabled(switched) => {
            let row = store.user(&switched.user).await?;
            one(row, |row| Change::User(UserRow { disabled_at: Some(at), ..row }))
        }
        ControlBody::UserEnabled(switched) => {
            let row = store.user(&switched.user).await?;
            one(row, |row| Change::User(UserRow { disabled_at: None, ..row }))
        }
        ControlBody::TokenIssued(issued) => vec![Change::Token(TokenRow {
            id: issued.token,
            user: issued.user.clone(),
            kind: issued.kind,
            scopes: issued.scopes.clone(),
            label: issued.label.clone(),
            parent: issued.parent,
            issued_at: at,
            expires_at: issued.expires_at,
            revoked_at: None,
        })],
        ControlBody::TokenRevoked(revoked) => {
            let row = store.token(&revoked.token).await?;
            let row = row.filter(|row| row.revoked_at.is_none());
            one(row, |row| Change::Token(TokenRow { revoked_at: Some(at), ..row }))
        }
        ControlBody::SessionRequested(requested) => {
            let mut row = requested_row(requested, at);
            if let Some(named) = &row.idempotency {
                // Of two that raced under one name, the first has it.
                let user = &row.request.requester;
                let first = store.session_by_key(user, &named.key).await?;
                if first.is_some_and(|first| first.id != row.id) {
                    row.idempotency = None;
                }
            }
            vec![Change::Session(Box::new(row))]
        }
        ControlBody::ApprovalGranted(granted) => {
            let approval = ApprovalRow {
                approver: granted.approver.clone(),
                at,
                request: granted.request,
                policy: granted.policy,
                comment: granted.comment.clone(),
            };
            session(store, granted.session, at, |row| {
                if row.approvals.iter().all(|known| known.approver != approval.approver) {
                    row.approvals.push(approval);
                }
                // Counted here and not by the approver, who may not have seen another's approval.
                if (row.approvals.len() as u64) < row.approvals_wanted {
                    return Ok(());
                }
                let approvers = row.approvals.iter().map(|a| a.approver.clone()).collect();
                row.state = row.state.clone().queue(at, approvers)?;
                Ok(())
            })
            .await?
        }
        ControlBody::ApprovalRejected(rejected) => {
            session(store, rejected.session, at, |row| {
                let by = name_of(&event.actor);
                refuse(row, at, format!("rejected by {by}: {}", rejected.reason))
            })
            .await?
        }
        ControlBody::SessionCancelled(cancelled) => {
            session(store, cancelled.session, at, |row| {
                let by = name_of(&event.actor);
                refuse(row, at, format!("cancelled by {by}: {}", cancelled.reason))
            })
            .await?
        }
        ControlBody::SessionLaunched(launched) => {
            session(store, launched.session, at, |row| {
                row.state = row.state.clone().provision(at)?;
                Ok(())
            })
            .await?
        }
        ControlBody::SessionAbandoned(abandoned) => {
            session(store, abandoned.session, at, |row| {
                row.state = row.state.clone().fail(at, abandoned.reason.clone())?;
                row.outcome = Some(custody_record::event::Outcome::Failed);
                row.reason = Some(abandoned.reason.clone());
                Ok(())
            })
            .await?
        }
        ControlBody::SessionLost(lost) => {
            session(store, lost.session, at, |row| {
                row.state = row.state.clone().lose(at, lost.reason.clone())?;
                // What the index knows of its record is not derived from anything that is there.
                (row.outcome, row.exit, row.root, row.commit) = (None, None, None, None);
                (row.events, row.counts) = (0, Counts::default());
                row.reason = Some(lost.reason.clone());
                Ok(())
            })
            .await?
        }
        ControlBody::RetentionHeld(held) => {
            session(store, held.session, at, |row| {
                row.hold = retention::held_on(row.hold.take(), Some(held.reason.clone()), event);
                Ok(())
            })
            .await?
        }
        ControlBody::RetentionReleased(released) => {
            session(store, released.session, at, |row| {
                row.hold = None;
                Ok(())
            })
            .await?
        }
        ControlBody::RetentionDeleted(deleted) => {
            session(store, deleted.session, at, |row| {
                row.erased_at = row.erased_at.or(Some(at));
                Ok(())
            })
            .await?
        }
        ControlBody::SessionStopRequested(stopped) => {
            let by = user_of(&event.actor);
            session(store, stopped.session, at, |row| {
                if let (Some(by), None) = (by, &row.stop) {
                    row.stop = Some(StopRow { by, at, reason: stopped.reason.clone() });
                }
                Ok(())
            })
            .await?
        }
    })
}

fn requested_row(requested: &SessionRequested, at: Timestamp) -> SessionRow {
    let asked = SessionState::requested(at);
    let state = match requested.decision {
        Decision::Allow => asked.queue(at, Vec::new()),
        Decision::NeedsApproval => asked.await_approval(at),
        Decision::Deny => asked.refuse(at, requested.reason.clone()),
    };
    let refused = requested.decision == Decision::Deny;
    let mut request = requested.request.clone();
    if let Some(WholeList { bytes, count, .. }) = requested.command_whole {
        // Nobody shall take the beginning for all of it.
        request.command.push(format!("… (cut: {count} arguments of {bytes} bytes in all)"));
    }
    SessionRow {
        id: requested.session,
        project: requested.project.clone(),
        request,
        requested_at: at,
        policy: requested.policy,
        policy_name: requested.policy_name.clone(),
        rule: requested.rule.clone(),
        approvals_wanted: requested.approvals,
        approvers: requested.approvers.clone(),
        approvals: Vec::new(),
        idempotency: requested.idempotency.clone(),
        // All three exist from `requested`.
        state: state.unwrap_or(SessionState::Requested { at }),
        updated_at: at,
        stop: None,
        outcome: refused.then_some(custody_record::event::Outcome::Refused),
        reason: refused.then(|| requested.reason.clone()),
        exit: None,
        events: 0,
        root: None,
        counts: Counts::default(),
        commit: None,
        hold: None,
        erased_at: None,
    }
}

fn refuse(row: &mut SessionRow, at: Timestamp, reason: String) -> Result<(), InvalidTransition> {
    row.state = row.state.clone().refuse(at, reason.clone())?;
    row.outcome = Some(custody_record::event::Outcome::Refused);
    row.reason = Some(reason);
    Ok(())
}

/// Changes a session's row. An event that comes too late for the session's state changes nothing: of two that raced, the
/// first counts.
async fn session(
    store: &dyn Store,
    id: SessionId,
    at: Timestamp,
    change: impl FnOnce(&mut SessionRow) -> Result<(), InvalidTransition>,
) -> Result<Vec<Change>, ControlError> {
    let Some(mut row) = store.session(id).await? else { return Ok(Vec::new()) };
    let before = row.clone();
    if change(&mut row).is_err() {
        row = before;
    }
    row.updated_at = row.updated_at.max(at);
    Ok(vec![Change::Session(Box::new(row))])
}

pub(crate) fn user_of(actor: &Actor) -> Option<UserName> {
    match actor {
        Actor::User { name } => Some(name.clone()),
        Actor::Process(_) | Actor::Keeper | Actor::Server => None,
    }
}

fn name_of(actor: &Actor) -> String {
    user_of(actor).map_or_else(|| "the server".to_owned(), |name| name.to_string())
}
