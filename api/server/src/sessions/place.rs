//! Where sessions stand in line.

use custody_api_types::session::{Place, Session};
use custody_model::state::session::SessionState;
use custody_session::{Orchestrator, queue};

use crate::error::ApiError;

/// Tells those that are queued where they stand.
pub(crate) async fn tell(
    orchestrator: &Orchestrator,
    sessions: &mut [Session],
) -> Result<(), ApiError> {
    let queued = |session: &Session| matches!(session.state, SessionState::Queued { .. });
    if !sessions.iter().any(queued) {
        return Ok(());
    }
    let store = orchestrator.plane().store();
    let (waiting, running) = (store.sessions_in(&["queued"]).await?, store.leases().await?);
    let order = queue::order(&waiting, &running);
    for session in sessions.iter_mut().filter(|session| queued(session)) {
        let place = queue::place(session.id, &order);
        session.place = place.map(|found| Place { place: found.place, of: found.of });
    }
    Ok(())
}

/// One session with its place.
pub(crate) async fn with_place(
    orchestrator: &Orchestrator,
    session: Session,
) -> Result<Session, ApiError> {
    let mut one = [session];
    tell(orchestrator, &mut one).await?;
    let [session] = one;
    Ok(session)
}
