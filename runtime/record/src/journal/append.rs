//! Appending to a journal, and waiting until what was appended is written or durable.

use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use custody_model::EventId;
use custody_model::error::chain;

use super::state::State;
use super::{Journal, redacted, writer};
use crate::event::{Draft, EventError, EventType};
use crate::sink::{Sink, SinkError};

impl Journal {
    /// Back-pressure; and, while it can't be written, a refusal after some time.
    fn wait_for_room<'a>(
        &self,
        state: MutexGuard<'a, State>,
        since: &Instant,
    ) -> Result<MutexGuard<'a, State>, SinkError> {
        self.shared.work.notify_one();
        let Some(trouble) = &state.trouble else {
            return Ok(self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let left = self.options.patience.saturating_sub(since.elapsed());
        if left.is_zero() {
            let bytes = self.options.buffer_bytes;
            let text = format!("{bytes} bytes of events wait already, and {trouble}");
            return Err(SinkError::Unwritable(text));
        }
        let (state, _) =
            self.shared.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        Ok(state)
    }

    fn wait_for(
        &self,
        reached: impl Fn(&State) -> bool,
        mut state: MutexGuard<'_, State>,
    ) -> Result<(), SinkError> {
        loop {
            if reached(&state) {
                return Ok(());
            }
            if let Some(refusal) = state.refusal() {
                return Err(refusal);
            }
            self.shared.work.notify_one();
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Sink for Journal {
    fn observe(&self, draft: Draft) -> Result<EventId, SinkError> {
        writer::with_scratch(|scratch, random| {
            let mut new_id = || {
                let random = random.take();
                random
                    .map(|random| EventId::new(draft.time, random))
                    .map_err(|e| SinkError::Unwritable(format!("no random bytes for an id: {e}")))
            };
            let id = new_id()?;
            let mut parts = self.encoder.parts(scratch, id, &draft).map_err(malformed)?;
            let kind = draft.body.event_type();
            // What was redacted stands before the event, which may be the last one.
            let mut told = None;
            if let Some((draft, applied)) =
                redacted::redact(&draft, id, &scratch[parts.data], &self.redactor, &self.blobs)?
            {
                scratch.clear();
                let before = self.encoder.parts(scratch, new_id()?, &applied).map_err(malformed)?;
                told = Some((before.gap, scratch.len()));
                parts = self.encoder.parts(scratch, id, &draft).map_err(malformed)?;
            }
            let mut state = self.shared.lock();
            let mut full_since = None;
            loop {
                if let Some(reason) = &state.failed {
                    return Err(SinkError::Unwritable(reason.clone()));
                }
                if state.stop || state.last == Some(EventType::SessionClosed) {
                    return Err(SinkError::Sealed);
                }
                let waiting = state.queue.bytes.len();
                if waiting == 0
                    || waiting + scratch.len() <= self.options.buffer_bytes
                    || tells_of_the_recorder(kind)
                {
                    break;
                }
                state = self.wait_for_room(state, full_since.get_or_insert_with(Instant::now))?;
            }
            let start = state.queue.bytes.len();
            state.queue.bytes.extend_from_slice(scratch);
            let end = state.queue.bytes.len();
            if let Some((gap, length)) = told {
                state.queue.events.push((start + gap, start + length));
                state.appended += 1;
                *state.counts.entry(EventType::RedactionApplied).or_insert(0) += 1;
            }
            state.queue.events.push((start + parts.gap, end));
            state.appended += 1;
            *state.counts.entry(kind).or_insert(0) += 1;
            state.last = Some(kind);
            // One wake-up when something begins to wait, one when much does: never one per event.
            let wake =
                start == 0 || (start < self.options.wake_bytes && end >= self.options.wake_bytes);
            drop(state);
            if wake {
                self.shared.work.notify_one();
            }
            Ok(id)
        })
    }

    fn flush(&self) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        let target = state.appended;
        state.flush_to = state.flush_to.max(target);
        self.wait_for(|state| state.written >= target, state)
    }

    fn barrier(&self) -> Result<(), SinkError> {
        let mut state = self.shared.lock();
        let target = state.appended;
        state.flush_to = state.flush_to.max(target);
        state.sync_to = state.sync_to.max(target);
        self.wait_for(|state| state.durable >= target, state)
    }
}

/// Few, and told by who must not wait for the disk: they don't wait for room.
const fn tells_of_the_recorder(kind: EventType) -> bool {
    matches!(
        kind,
        EventType::RecorderDegraded
            | EventType::RecorderRestored
            | EventType::SessionPaused
            | EventType::SessionResumed
    )
}

fn malformed(error: EventError) -> SinkError {
    SinkError::Malformed(chain(&error))
}
