//! Where mediators put what they see: the one door into a session's record.

use custody_model::EventId;

use crate::event::Draft;

/// Why an event could not be taken, or a barrier not be reached. The effect that waits for it must not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SinkError {
    /// The draft does not fit the format (for example: longer than 65,535 bytes in canonical form).
    #[error("the event is not well formed: {0}")]
    Malformed(String),
    /// The record can't be written; the chain of causes as text, because every waiter gets it.
    #[error("the record can't be written, so nothing may leave the sandbox: {0}")]
    Unwritable(String),
    /// The record is sealed.
    #[error("the record is sealed: nothing can be added")]
    Sealed,
}

/// A session's recorder as mediators see it. Shared by all threads of the keeper.
pub trait Sink: Send + Sync {
    /// Appends an observation. Order of calls is order in the record. Does not wait for the disk; blocks only
    /// while the bounded buffer is full.
    ///
    /// # Errors
    /// [`SinkError`]; nothing was appended then.
    fn observe(&self, draft: Draft) -> Result<EventId, SinkError>;

    /// Hands everything appended so far to the kernel (it then survives the death of this process, not of the
    /// machine). Cheaper than [`Sink::barrier`]: no fsync.
    ///
    /// # Errors
    /// [`SinkError::Unwritable`].
    fn flush(&self) -> Result<(), SinkError>;

    /// Returns once everything appended so far is durable on disk. Call it before any effect leaves the sandbox.
    ///
    /// # Errors
    /// [`SinkError::Unwritable`]: the effect must not happen.
    fn barrier(&self) -> Result<(), SinkError>;
}

/// Proof that the intent behind `T` (mostly a `Permit<A>`) is durable in the record.
///
/// Only [`Recorded::commit`] makes one: whatever changes the world takes a `Recorded<Permit<…>>`, so that an
/// effect that was not both allowed and recorded does not compile.
#[derive(Debug)]
pub struct Recorded<T> {
    intent: T,
    event: EventId,
}

impl<T> Recorded<T> {
    /// Appends the event that tells the intent, waits until it is durable, and only then wraps the intent.
    ///
    /// # Errors
    /// Those of [`Sink::observe`] and [`Sink::barrier`]; the intent is lost and its effect must not happen.
    pub fn commit(sink: &dyn Sink, intent: T, draft: Draft) -> Result<Self, SinkError> {
        let event = sink.observe(draft)?;
        sink.barrier()?;
        Ok(Self { intent, event })
    }

    /// What was recorded.
    pub fn intent(&self) -> &T {
        &self.intent
    }

    /// The event that records it: the `cause` of what follows.
    pub fn event(&self) -> EventId {
        self.event
    }
}
