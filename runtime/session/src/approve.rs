//! Approve and reject: somebody other than the requester decides about exactly what was asked for.

use std::sync::Arc;

use custody_control::Author;
use custody_keeper::run::requested;
use custody_keeper::spec::SessionSpec;
use custody_model::state::session::SessionState;
use custody_model::{SessionId, UserName};
use custody_policy::{Approval, Discounted, Verdict, evaluate, request_digest};
use custody_record::control::{ApprovalGranted, ControlBody, SessionReason};
use custody_store::SessionRow;

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;
use crate::steps::{self, Step, step};

/// What the steps share.
struct Context {
    author: Author,
    session: SessionId,
    approver: UserName,
    text: String,
}

const APPROVE: &[Step<Context>] = &[step!("record", grant)];
const REJECT: &[Step<Context>] = &[step!("record", reject), step!("refuse", refuse)];

/// See [`steps::every_step`].
pub(crate) fn step_names() -> Vec<String> {
    [steps::names("approve", APPROVE), steps::names("reject", REJECT)].concat()
}

impl Orchestrator {
    /// Approves a session. It gets in line with the last approval that it needs.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if it does not wait for one; [`SessionError::Forbidden`] if this approval would not count:
    /// by the requester, by somebody whom the policy does not name, or a second one.
    pub async fn approve(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        approver: &UserName,
        comment: &str,
    ) -> Result<SessionRow, SessionError> {
        self.decide("approve", APPROVE, author, session, approver, comment).await
    }

    /// Rejects a session: it is refused.
    ///
    /// # Errors
    /// As [`Orchestrator::approve`].
    pub async fn reject(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        approver: &UserName,
        reason: &str,
    ) -> Result<SessionRow, SessionError> {
        if reason.trim().is_empty() {
            let reason = "say why: the requester and the record are told".to_owned();
            return Err(SessionError::Invalid { field: "reason", reason });
        }
        self.decide("reject", REJECT, author, session, approver, reason).await
    }

    async fn decide(
        self: &Arc<Self>,
        verb: &'static str,
        steps: &[Step<Context>],
        author: &Author,
        session: SessionId,
        approver: &UserName,
        text: &str,
    ) -> Result<SessionRow, SessionError> {
        custody_control::projects::short("comment", text)?;
        let (author, approver, text) = (author.clone(), approver.clone(), text.to_owned());
        let mut context = Context { author, session, approver, text };
        waiting(self, &context).await?;
        steps::run(self, verb, steps, &mut context).await?;
        self.dispatch.notify_one();
        self.row(session).await
    }
}

async fn waiting(
    orchestrator: &Arc<Orchestrator>,
    context: &Context,
) -> Result<SessionRow, SessionError> {
    let row = orchestrator.row(context.session).await?;
    if matches!(row.state, SessionState::AwaitingApproval { .. }) {
        return Ok(row);
    }
    let reason = "only what awaits an approval can be approved or rejected".to_owned();
    Err(SessionError::Conflict { session: row.id, state: row.state.name(), reason })
}

async fn grant(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let row = orchestrator.row(context.session).await?;
    if row.approvals.iter().any(|known| known.approver == context.approver) {
        let decided = !matches!(row.state, SessionState::AwaitingApproval { .. });
        return if decided {
            Ok(())
        } else {
            Err(SessionError::Forbidden(format!(
                "{} approved session {} already; another person has to",
                context.approver, row.id
            )))
        };
    }
    let version = orchestrator.plane().policy_version(&row.project, &row.policy).await?;
    let mut approvals = approvals(&row);
    // As it was asked for and as the keeper will see it; the row shows it as it is on record, redacted.
    let (state, vault) = (orchestrator.state().clone(), orchestrator.plane().vault().clone());
    let session = row.id;
    let read = move || SessionSpec::read(&state, session, &vault);
    let asked = requested(&tokio::task::spawn_blocking(read).await??);
    let request = request_digest(&asked);
    approvals.push(Approval {
        approver: context.approver.clone(),
        request,
        policy: row.policy,
        at: orchestrator.plane().now(),
    });
    let (missing, discounted) = match evaluate(&version, asked, &approvals) {
        Verdict::Allow(_) => (0, Vec::new()),
        Verdict::NeedsApproval(needed) => (needed.missing as u64, needed.discounted),
        Verdict::Deny(refusal) => return Err(SessionError::Forbidden(refusal.to_string())),
    };
    if let Some((_, why)) = discounted.iter().find(|(name, _)| *name == context.approver) {
        return Err(SessionError::Forbidden(not_counted(*why, &context.approver, &row)));
    }
    let granted = ControlBody::ApprovalGranted(ApprovalGranted {
        session: row.id,
        approver: context.approver.clone(),
        request,
        policy: row.policy,
        comment: context.text.clone(),
        missing,
    });
    orchestrator.plane().record(&context.author, vec![granted]).await?;
    Ok(())
}

/// The approvals of a session, as the policy counts them.
pub(crate) fn approvals(row: &SessionRow) -> Vec<Approval> {
    let approvals = row.approvals.iter().map(|known| Approval {
        approver: known.approver.clone(),
        request: known.request,
        policy: known.policy,
        at: known.at,
    });
    approvals.collect()
}

fn not_counted(why: Discounted, approver: &UserName, row: &SessionRow) -> String {
    match why {
        Discounted::OwnRequest => {
            format!("{approver} asked for session {}: nobody approves their own request", row.id)
        }
        Discounted::NotAnApprover => format!(
            "the policy {} does not name {approver} as an approver; it names {}",
            row.policy_name,
            row.approvers.join(", ")
        ),
        Discounted::Repeated => format!("{approver} approved session {} already", row.id),
        Discounted::OtherRequest | Discounted::OtherPolicy => {
            format!("the approval of session {} is of another request", row.id)
        }
    }
}

async fn reject(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let row = orchestrator.row(context.session).await?;
    if matches!(row.state, SessionState::Refused { .. }) {
        return Ok(());
    }
    if row.request.requester == context.approver {
        return Err(SessionError::Forbidden(format!(
            "{} asked for session {}: to take it back, stop it",
            context.approver, row.id
        )));
    }
    let (session, reason) = (row.id, context.text.clone());
    let body = ControlBody::ApprovalRejected(SessionReason { session, reason });
    orchestrator.plane().record(&context.author, vec![body]).await?;
    Ok(())
}

async fn refuse(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    orchestrator.seal_refusal(context.session).await
}
