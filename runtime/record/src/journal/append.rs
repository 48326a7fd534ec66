//! Appending to a journal, and waiting until what was appended is written or durable.

use std::borrow::Cow;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use custody_model::EventId;
use custody_model::error::chain;

use super::state::State;
use super::{Journal, redacted, writer};
use crate::event::{Draft, EventError, EventType, GapSource, MAX_EVENT_BYTES, Parts, fit};
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

    /// Has an event stand in `out` in a form that has room in the record; says where its gap for `prev` and `seq` is, and
    /// what is incomplete if another event had to take its place. `parts`: it stands there as it is.
    fn fit(
        &self,
        out: &mut Vec<u8>,
        id: EventId,
        draft: &mut Cow<'_, Draft>,
        parts: Option<Parts>,
    ) -> Result<(usize, Option<GapSource>), SinkError> {
        let parts = match parts {
            Some(parts) => parts,
            None => self.encoder.parts(out, id, draft).map_err(malformed)?,
        };
        if !fit::is_oversized(draft.body.event_type(), parts.data.len(), parts.size) {
            return Ok((parts.gap, None));
        }
        let whole = out.split_off(parts.start);
        *draft = Cow::Owned(fit::reduced(draft.as_ref().clone()));
        let reduced = self.encoder.parts(out, id, draft).map_err(malformed)?;
        if reduced.size <= MAX_EVENT_BYTES {
            return Ok((reduced.gap, None));
        }
        let data = &whole[parts.data.start - parts.start..parts.data.end - parts.start];
        let Some((lost, gap)) = fit::gap(draft, data, parts.size) else {
            let kind = draft.body.type_name();
            return Err(malformed(EventError::TooLong { kind, size: reduced.size }));
        };
        out.truncate(parts.start);
        *draft = Cow::Owned(gap);
        let parts = self.encoder.parts(out, id, draft).map_err(malformed)?;
        Ok((parts.gap, Some(lost)))
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
            let mut draft = Cow::Borrowed(&draft);
            // What was redacted stands before the event, which may be the last one.
            let mut told = None;
            let data = &scratch[parts.data.clone()];
            if let Some((clean, applied)) =
                redacted::redact(&draft, id, data, &self.redactor, &self.blobs)?
            {
                scratch.clear();
                let (gap, _) = self.fit(scratch, new_id()?, &mut Cow::Owned(applied), None)?;
                told = Some((gap, scratch.len()));
                draft = Cow::Owned(clean);
                parts = self.encoder.parts(scratch, id, &draft).map_err(malformed)?;
            }
            // Cut is what was redacted, so that no half of a credential is left.
            let (gap, lost) = self.fit(scratch, id, &mut draft, Some(parts))?;
            let kind = draft.body.event_type();
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
            state.queue.events.push((start + gap, end));
            state.appended += 1;
            *state.counts.entry(kind).or_insert(0) += 1;
            state.lost.extend(lost);
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
