//! What the writer of a journal and everybody else share: the events that wait, how far they have come, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::trouble::{Condition, Trouble};
use crate::event::{EventType, GapSource};
use crate::sink::SinkError;
use crate::tlog::Frontier;

/// What waits for the writer: both parts of each event, one after the other.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) bytes: Vec<u8>,
    /// Per event: where its gap for `prev` and `seq` is, and where it ends.
    pub(super) events: Vec<(usize, usize)>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) queue: Queue,
    /// Events appended, written to the kernel, durable on disk.
    pub(super) appended: u64,
    pub(super) written: u64,
    pub(super) durable: u64,
    /// Somebody waits until so many are written, or durable.
    pub(super) flush_to: u64,
    pub(super) sync_to: u64,
    pub(super) counts: BTreeMap<EventType, u64>,
    pub(super) last: Option<EventType>,
    /// What is incomplete, because an event had no room and a gap stands in its place.
    pub(super) lost: BTreeSet<GapSource>,
    /// Of what is written.
    pub(super) frontier: Frontier,
    /// It can't be written now.
    pub(super) trouble: Option<Trouble>,
    /// The writer is gone, and there were events that it could not write.
    pub(super) failed: Option<String>,
    pub(super) stop: bool,
}

impl State {
    /// Why nothing that waits for the disk can be had.
    pub(super) fn refusal(&self) -> Option<SinkError> {
        let text = self.failed.clone().or_else(|| self.trouble.as_ref().map(Trouble::to_string));
        text.map(SinkError::Unwritable)
    }
}

/// Hears when the journal can't be written, and when it can again.
pub(super) type Watcher = Box<dyn Fn(Condition) + Send + Sync>;

#[derive(Default)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) watcher: OnceLock<Watcher>,
    /// The writer waits here.
    pub(super) work: Condvar,
    /// Everybody else does.
    pub(super) done: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn tell(&self, condition: Condition) {
        if let Some(watcher) = self.watcher.get() {
            watcher(condition);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
