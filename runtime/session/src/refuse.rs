//! The record of a session that was refused: by the policy, by an approver, or by whoever asked for it.

use std::sync::Arc;

use custody_keeper::run::close_refused;
use custody_keeper::spec::SessionSpec;
use custody_model::SessionId;
use custody_model::state::session::SessionState;
use custody_policy::{Refusal, RuleRef};
use custody_record::event::Decision;

use crate::error::SessionError;
use crate::lost::sealed_before;
use crate::orchestrator::Orchestrator;

impl Orchestrator {
    /// Makes and seals the record of a refused session, if it is refused and has none yet.
    pub(crate) async fn seal_refusal(
        self: &Arc<Self>,
        session: SessionId,
    ) -> Result<(), SessionError> {
        let row = self.row(session).await?;
        let SessionState::Refused { reason, .. } = row.state else { return Ok(()) };
        if row.root.is_some() {
            return Ok(());
        }
        let state = self.state().clone();
        let before = tokio::task::spawn_blocking(move || sealed_before(&state, session));
        if let Some(reason) = before.await?? {
            return self.lose(session, reason).await;
        }
        let refusal = Refusal {
            action: "session.request",
            policy_name: row.policy_name,
            policy: row.policy,
            rule: RuleRef { text: row.rule, pointer: String::new(), line: None },
            reason,
        };
        let (state, clock) = (self.state().clone(), self.plane().clock().clone());
        let vault = self.plane().vault().clone();
        let record = self.record(session);
        let begun = record.clone();
        tokio::task::spawn_blocking(move || {
            if begun.exists() {
                // Another try got this far: what it left is closed like the record of a dead keeper.
                return crate::reconcile::close(&state, session, &vault, &clock).map_err(
                    |source| SessionError::File {
                        doing: format!(
                            "the record of the refused session {session} can't be closed"
                        ),
                        source: std::io::Error::other(source),
                    },
                );
            }
            let spec = SessionSpec::read(&state, session, &vault)?;
            Ok(close_refused(&state, &spec, Decision::Deny, &refusal, clock)?)
        })
        .await??;
        self.plane().index(session, record).await?;
        Ok(())
    }
}
