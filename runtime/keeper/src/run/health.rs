//! A record that can't be written: it is told in the record itself and to the main loop, and what the end of a session
//! has to write is tried until it is written.

use std::error::Error;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use custody_model::{Actor, Clock, Timestamp};
use custody_record::event::{Body, Draft, RecorderDegraded, RecorderRestored};
use custody_record::journal::Condition;
use custody_record::{Journal, Sink, SinkError};

use super::{Message, Session};

/// Time between two attempts to write what the disk refused.
pub(crate) const RETRY: Duration = Duration::from_millis(250);

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

/// Tries until the disk takes it: at its end, a session has nowhere else to put what it knows. Errors that have nothing
/// to do with the disk are returned at once. Who does not want to wait kills the keeper; the record says so then.
pub(super) fn insist<T, E: Error + 'static>(
    session: &Session<'_>,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut told = false;
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if session.journal.trouble().is_none() && !is_of_the_disk(&error) {
            return Err(error);
        }
        if !told {
            told = true;
            tracing::error!(error = &error as &dyn Error, what, "waiting for the disk");
            session.progress(&format!("{what} waits for the disk: {error}"), None, None);
        }
        // No one tells when a disk has room again.
        thread::park_timeout(RETRY);
    }
}

/// Whether a disk said so that is full, read-only or broken, or the journal because of one.
fn is_of_the_disk(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        let refused = error.downcast_ref::<SinkError>();
        if matches!(refused, Some(SinkError::Unwritable(_)))
            || matches!(code, Some(libc::ENOSPC | libc::EDQUOT | libc::EROFS | libc::EIO))
        {
            return true;
        }
        next = error.source();
    }
    false
}
