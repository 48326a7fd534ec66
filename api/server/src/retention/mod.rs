//! Retention: what will be erased when, and the sweeper.

mod list;
mod sweep;

use custody_api_types::retention::{Held, HeldWhat, Retention};
use custody_api_types::session::Session;
use custody_control::Hold;
use custody_session::Orchestrator;
use custody_store::SessionRow;

pub(crate) use list::list;
pub(crate) use sweep::sweep;

use crate::error::ApiError;

/// Sessions with how long their content is kept, in their order.
pub(crate) async fn with_retentions(
    orchestrator: &Orchestrator,
    rows: Vec<SessionRow>,
    show: impl Fn(SessionRow) -> Session,
) -> Result<Vec<Session>, ApiError> {
    let retentions = orchestrator.plane().retentions(&rows).await?;
    let sessions = rows
        .into_iter()
        .zip(retentions)
        .map(|(row, retention)| Session { retention: Some(shown(retention)), ..show(row) });
    Ok(sessions.collect())
}

/// How long the content of one session is kept.
pub(crate) async fn of(
    orchestrator: &Orchestrator,
    row: &SessionRow,
) -> Result<Option<Retention>, ApiError> {
    Ok(Some(shown(orchestrator.plane().retention(row).await?)))
}

fn shown(retention: custody_control::Retention) -> Retention {
    Retention {
        class: retention.class.to_string(),
        policy: retention.policy,
        until: retention.until,
        held: retention.hold.map(held),
    }
}

/// A hold as clients see it.
pub(crate) fn held(hold: Hold) -> Held {
    let (what, row) = match hold {
        Hold::Session(row) => (HeldWhat::Session, row),
        Hold::Project(row) => (HeldWhat::Project, row),
    };
    Held { by: row.by, since: row.at, reason: row.reason, what }
}
