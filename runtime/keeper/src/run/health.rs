//! A disk that refuses: it is told in the record itself and to the main loop, and what the end of a session has to write is
//! tried until it is written, or the session's patience is at its end.

use std::error::Error;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use custody_model::{Actor, Clock, Timestamp};
use custody_record::event::{Body, Draft, RecorderDegraded, RecorderRestored};
use custody_record::journal::Condition;
use custody_record::{Journal, Sink};

use super::patience::{Patience, RETRY};
use super::{KeeperError, Message, Session};

/// Has the journal's troubles recorded, in their place between the other events, and told to the main loop.
pub(super) fn watch(journal: &Arc<Journal>, clock: Arc<dyn Clock>, messages: Sender<Message>) {
    let weak = Arc::downgrade(journal);
    let messages = Mutex::new(messages);
    let since: Mutex<Option<Timestamp>> = Mutex::default();
    journal.watch(move |condition| {
        // It is being dropped: nobody waits for anything.
        let Some(journal) = weak.upgrade() else { return };
        let now = clock.now();
        let mut since = since.lock().unwrap_or_else(PoisonError::into_inner);
        let (body, message) = match condition {
            Condition::Degraded(trouble) => {
                *since = Some(now);
                let text = trouble.to_string();
                tracing::error!(trouble = text, "the record can't be written");
                let body = Body::RecorderDegraded(RecorderDegraded {
                    step: trouble.step.as_str().to_owned(),
                    error: trouble.error,
                    durable: trouble.durable,
                });
                (body, Message::Degraded(text))
            }
            Condition::Restored { waited, attempts } => {
                tracing::info!(waited, attempts, "the record can be written again");
                let since = since.take().unwrap_or(now);
                let body = Body::RecorderRestored(RecorderRestored { since, waited, attempts });
                (body, Message::Restored)
            }
        };
        if let Err(error) = journal.observe(Draft::new(now, Actor::Keeper, body)) {
            // Only a closed record takes nothing more: then nothing can be lost either.
            tracing::debug!(%error, "the record is closed");
        }
        // Nobody listens once the session is ending.
        let _ended = messages.lock().unwrap_or_else(PoisonError::into_inner).send(message);
    });
}

/// Tries until the disk takes it, or for as long as `patience` lasts. Errors that have nothing to do with the disk are
/// returned at once. `what` names it for the record, the log and who is attached.
pub(super) fn insist<T>(
    session: &Session<'_>,
    what: &'static str,
    patience: &Patience,
    mut attempt: impl FnMut() -> Result<T, KeeperError>,
) -> Result<T, KeeperError> {
    let (mut since, mut attempts, mut pause) = (None, 0, RETRY);
    loop {
        let error = match attempt() {
            Ok(done) => {
                patience.healed();
                if let Some(since) = since {
                    tracing::info!(what, attempts, "the disk took it");
                    let restored = RecorderRestored { since, waited: 0, attempts };
                    tell(session, Body::RecorderRestored(restored));
                }
                return Ok(done);
            }
            Err(error) => error,
        };
        attempts += 1;
        let journal = session.journal.trouble().is_some();
        if !journal && !error.is_of_the_disk() {
            return Err(error);
        }
        if attempts == 1 {
            tracing::error!(error = &error as &dyn Error, what, "waiting for the disk");
            session.progress(
                &format!("{what}: waiting for the disk: {}", error.chain()),
                None,
                None,
            );
        }
        // Of its own troubles the journal tells by itself.
        if !journal && since.is_none() {
            since = Some(session.setup.clock.now());
            let durable = session.journal.durable();
            let (step, error) = (what.to_owned(), error.chain());
            tell(session, Body::RecorderDegraded(RecorderDegraded { step, error, durable }));
        }
        if let Err(spent) = patience.rest(pause) {
            tracing::error!(error = &error as &dyn Error, what, %spent, "the disk was given up");
            return Err(KeeperError::Disk { what, spent, source: Box::new(error) });
        }
        pause = (pause * 2).min(LONGEST_RETRY);
    }
}

/// Longest time between two attempts at the end of a session: each of them may be much work.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// Puts a trouble on record that is not the journal's own.
fn tell(session: &Session<'_>, body: Body) {
    let draft = Draft::new(session.setup.clock.now(), Actor::Keeper, body);
    if let Err(error) = session.journal.observe(draft) {
        // After the closing event there is no place for it any more: the log has it.
        tracing::debug!(%error, "the record is closed");
    }
}
