//! Stop: ask a keeper to end its session.

use custody_keeper::frame::{Frame, StopRequest};
use custody_keeper::layout::StateDir;
use custody_model::SessionId;

use crate::attach::{AttachError, attach};

/// Asks the keeper of `session` to end it and waits until the record is sealed.
///
/// # Errors
/// [`AttachError`].
pub fn stop(state: &StateDir, session: SessionId, reason: &str) -> Result<(), AttachError> {
    let mut keeper = attach(state, session)?;
    let io = |source| AttachError::Io { session, source };
    keeper.send(&Frame::Stop(StopRequest { reason: reason.to_owned() })).map_err(io)?;
    while let Some(frame) = keeper.receive().map_err(io)? {
        if let Frame::Ended(_) = frame {
            return Ok(());
        }
    }
    Err(AttachError::NotRunning(session))
}
