//! Hold, release: nothing erases the content of a session that is held, whatever its retention class says.

use std::sync::Arc;

use custody_control::{Author, Hold};
use custody_model::SessionId;
use custody_record::control::{ControlBody, SessionReason};
use custody_store::SessionRow;

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

/// Refuses a reason that says nothing, or does not fit into an event.
///
/// # Errors
/// [`SessionError::Invalid`].
pub(crate) fn reason(reason: &str) -> Result<(), SessionError> {
    custody_control::projects::short("reason", reason)?;
    if reason.trim().is_empty() {
        let reason = "say why: the record is told".to_owned();
        return Err(SessionError::Invalid { field: "reason", reason });
    }
    Ok(())
}

/// Who holds a session, since when and why, and how that ends.
pub(crate) fn told(row: &SessionRow, hold: &Hold) -> String {
    let how = match hold {
        Hold::Session(_) => format!("`custody release {} --reason …` ends that", row.id),
        Hold::Project(_) => format!(
            "the active policy of project {} holds all of its sessions: a version without `hold` ends that",
            row.project
        ),
    };
    let held = hold.row();
    format!("it is held by {} since {}: {}; {how}", held.by, held.at, held.reason)
}

impl Orchestrator {
    /// Holds a session, in whatever state it is. Again for the same reason it changes nothing; for another one that reason
    /// counts, and the hold goes on from its beginning.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if its content was erased: there is nothing to hold.
    pub async fn hold(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        why: &str,
    ) -> Result<SessionRow, SessionError> {
        reason(why)?;
        let _turn = self.holding.lock().await;
        let row = self.row(session).await?;
        if self.is_erased(&row).await? {
            let reason = "its content was erased: there is nothing to hold".to_owned();
            return Err(SessionError::Conflict { session, state: row.state.name(), reason });
        }
        if row.hold.as_ref().is_some_and(|hold| hold.reason == why) {
            return Ok(row);
        }
        let body = ControlBody::RetentionHeld(SessionReason { session, reason: why.to_owned() });
        self.plane().record(author, vec![body]).await?;
        self.row(session).await
    }

    /// Releases a session: its retention class counts again. One that nobody holds stays as it is.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if not the session is held, but its project.
    pub async fn release_hold(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        why: &str,
    ) -> Result<SessionRow, SessionError> {
        reason(why)?;
        let _turn = self.holding.lock().await;
        let row = self.row(session).await?;
        if row.hold.is_none() {
            return match self.plane().retention(&row).await?.hold {
                Some(hold) => {
                    let reason = told(&row, &hold);
                    Err(SessionError::Conflict { session, state: row.state.name(), reason })
                }
                None => Ok(row),
            };
        }
        let reason = why.to_owned();
        let body = ControlBody::RetentionReleased(SessionReason { session, reason });
        self.plane().record(author, vec![body]).await?;
        self.row(session).await
    }
}
