//! `custody session approve|reject|stop|signal`.

use std::time::Duration;

use custody_api_types::session::Session;

use crate::cli::Signal;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

/// How long the end of a session that was asked to stop is waited for.
const END: Duration = Duration::from_secs(60);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(50);

pub(super) fn approve(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    comment: &str,
) -> Result<(), Failure> {
    let session = server.wait(server.client().approve(session.id, comment))?;
    let session = server.begun(session)?;
    say(wire, &session, "approved")
}

pub(super) fn reject(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    reason: &str,
) -> Result<(), Failure> {
    let session = server.wait(server.client().reject(session.id, reason))?;
    say(wire, &session, "rejected")
}

pub(super) fn signal(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    signal: Signal,
) -> Result<(), Failure> {
    let session = server.wait(server.client().signal(session.id, signal.0))?;
    say(wire, &session, "signalled")
}

pub(super) fn stop(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    reason: &str,
) -> Result<(), Failure> {
    let session = server.wait(async {
        let client = server.client();
        let mut session = client.stop(session.id, reason).await?;
        let deadline = tokio::time::Instant::now() + END;
        while !session.state.is_final() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            session = client.session(&session.id.to_string()).await?;
        }
        Ok(session)
    })?;
    output::result(wire.format, &session, || match session.state.is_final() {
        true => format!("session {} has ended", session.id),
        false => format!("session {} was asked to end, and has not yet", session.id),
    })
}

fn say(wire: &Wire, session: &Session, done: &str) -> Result<(), Failure> {
    output::result(wire.format, session, || {
        format!("session {} is {done}\n{}", session.id, render::session::standing(session))
    })
}
