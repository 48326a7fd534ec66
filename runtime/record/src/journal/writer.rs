//! The thread that chains, writes and fsyncs.

use std::cell::RefCell;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use custody_model::Digest;

use super::frame::append_frame;
use super::place::{Failed, Place};
use super::state::{Queue, Shared, State};
use super::trouble::{Condition, Trouble};
use super::{JournalOptions, MAX_UNSYNCED_BYTES, Resume};
use crate::event::append_gap;
use crate::tlog::{Frontier, leaf_hash};

/// Random bytes for ids, drawn from the kernel in blocks: a system call per event costs more than the event.
#[derive(Debug, Default)]
pub(super) struct RandomBytes {
    block: Vec<u8>,
}

impl RandomBytes {
    pub(super) fn take(&mut self) -> Result<[u8; 10], getrandom::Error> {
        if self.block.len() < 10 {
            self.block.resize(2560, 0);
            getrandom::fill(&mut self.block)?;
        }
        let at = self.block.len() - 10;
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&self.block[at..]);
        self.block.truncate(at);
        Ok(bytes)
    }
}

/// Runs `f` with this thread's empty encoding buffer and its random bytes.
pub(super) fn with_scratch<T>(f: impl FnOnce(&mut Vec<u8>, &mut RandomBytes) -> T) -> T {
    thread_local! {
        static SCRATCH: RefCell<(Vec<u8>, RandomBytes)> = RefCell::default();
    }
    SCRATCH.with(|cell| {
        let (scratch, random) = &mut *cell.borrow_mut();
        scratch.clear();
        f(scratch, random)
    })
}

pub(super) struct Writer {
    place: Place,
    shared: Arc<Shared>,
    options: JournalOptions,
    prev: Option<Digest>,
    frontier: Frontier,
    /// Frames of the events after those that are durable, and how many of the bytes the kernel has.
    out: Vec<u8>,
    written: usize,
    spare: Queue,
    synced: Instant,
}

impl Writer {
    pub(super) fn new(
        place: Place,
        shared: Arc<Shared>,
        options: JournalOptions,
        resume: Resume,
    ) -> Self {
        let Resume { prev, frontier, .. } = resume;
        let (out, spare, synced) = (Vec::new(), Queue::default(), Instant::now());
        Self { place, shared, options, prev, frontier, out, written: 0, spare, synced }
    }

    pub(super) fn run(mut self) {
        loop {
            match self.write_until_stopped() {
                Ok(()) => return,
                Err(failed) => {
                    if !self.ride_out(failed) {
                        return;
                    }
                }
            }
        }
    }

    fn write_until_stopped(&mut self) -> Result<(), Failed> {
        let shared = Arc::clone(&self.shared);
        loop {
            let state = self.wait_for_work(shared.lock());
            let stop = state.stop && state.queue.events.is_empty();
            self.take_queue(state);
            self.write()?;
            let state = shared.lock();
            let written = self.frontier.size();
            let sync = state.durable < written
                && (state.sync_to > state.durable
                    || state.stop
                    || self.out.len() >= MAX_UNSYNCED_BYTES
                    || self.synced.elapsed() >= self.options.commit_interval);
            drop(state);
            if sync {
                self.place.sync()?;
                self.all_durable();
            }
            if stop {
                return Ok(());
            }
        }
    }

    /// Tries again and again to write everything that is not known to be durable, until all that waited is; `false` if
    /// nobody wants it any more.
    fn ride_out(&mut self, failed: Failed) -> bool {
        let shared = Arc::clone(&self.shared);
        let begun = shared.lock().durable;
        let trouble = |failed: &Failed, path: &std::path::Path| {
            Trouble::new(failed.step, &failed.error, path, begun)
        };
        let first = trouble(&failed, &self.place.path);
        shared.lock().trouble = Some(first.clone());
        shared.done.notify_all();
        shared.tell(Condition::Degraded(first));
        let mut attempts = 0;
        loop {
            // Whoever closes it may have made room: one more attempt, and the last.
            let last = self.wait_for_attempt();
            attempts += 1;
            let Err(failed) = self.attempt() else { break };
            let mut state = shared.lock();
            let text = trouble(&failed, &self.place.path);
            if last {
                state.failed = Some(text.to_string());
                drop(state);
                shared.done.notify_all();
                return false;
            }
            state.trouble = Some(text);
        }
        shared.lock().trouble = None;
        shared.done.notify_all();
        shared.tell(Condition::Restored { waited: self.frontier.size() - begun, attempts });
        true
    }

    /// Waits for the time of another attempt, or for the end, which it returns.
    fn wait_for_attempt(&self) -> bool {
        let begun = Instant::now();
        let mut state = self.shared.lock();
        loop {
            let left = self.options.retry.saturating_sub(begun.elapsed());
            if state.stop || left == Duration::ZERO {
                return state.stop;
            }
            state = self
                .shared
                .work
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn attempt(&mut self) -> Result<(), Failed> {
        // First what was taken out of the buffer, and only then more of it: memory is bounded.
        self.place.write_anew(&self.out)?;
        self.all_durable();
        let shared = Arc::clone(&self.shared);
        self.take_queue(shared.lock());
        self.write()?;
        self.place.sync()?;
        self.all_durable();
        Ok(())
    }

    /// Everything that was taken out of the buffer is durable.
    fn all_durable(&mut self) {
        self.place.durable += self.out.len() as u64;
        self.out.clear();
        self.written = 0;
        self.synced = Instant::now();
        self.publish(|state, size| {
            state.written = size;
            state.durable = size;
        });
    }

    fn publish(&self, what: impl FnOnce(&mut State, u64)) {
        let mut state = self.shared.lock();
        if state.frontier.size() != self.frontier.size() {
            state.frontier = self.frontier.clone();
        }
        what(&mut state, self.frontier.size());
        drop(state);
        self.shared.done.notify_all();
    }

    /// Waits until there is something to write or to fsync; lingers for more while nobody waits for it.
    fn wait_for_work<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let mut waiting_since = None;
        loop {
            let urgent = state.stop
                || state.flush_to > state.written
                || state.sync_to > state.durable
                || state.queue.bytes.len() >= self.options.wake_bytes;
            if urgent {
                return state;
            }
            let linger = (!state.queue.events.is_empty()).then(|| {
                let since = *waiting_since.get_or_insert_with(Instant::now);
                self.options.linger.saturating_sub(since.elapsed())
            });
            let commit = (state.durable < state.written)
                .then(|| self.options.commit_interval.saturating_sub(self.synced.elapsed()));
            let timeout = match (linger, commit) {
                (Some(linger), Some(commit)) => Some(linger.min(commit)),
                (one, other) => one.or(other),
            };
            state = match timeout {
                Some(timeout) if timeout.is_zero() => return state,
                Some(timeout) => {
                    self.shared
                        .work
                        .wait_timeout(state, timeout)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Gives what waits its chain and its frames.
    fn take_queue(&mut self, mut state: MutexGuard<'_, State>) {
        let mut queue = std::mem::replace(&mut state.queue, std::mem::take(&mut self.spare));
        drop(state);
        if !queue.events.is_empty() {
            // The buffer is empty again: let those in who wait for room while this batch is written.
            self.shared.done.notify_all();
            self.frame(&queue);
            queue.bytes.clear();
            queue.events.clear();
        }
        self.spare = queue;
    }

    fn frame(&mut self, queue: &Queue) {
        let mut start = 0;
        for &(gap, end) in &queue.events {
            let (before, after) = (&queue.bytes[start..gap], &queue.bytes[gap..end]);
            let (prev, seq) = (self.prev, self.frontier.size());
            let leaf = append_frame(&mut self.out, |out| {
                let begin = out.len();
                out.extend_from_slice(before);
                append_gap(out, prev, seq);
                out.extend_from_slice(after);
                leaf_hash(&out[begin..])
            });
            self.frontier.push(leaf);
            self.prev = Some(leaf);
            start = end;
        }
    }

    fn write(&mut self) -> Result<(), Failed> {
        let fresh = self.out.len() - self.written;
        if fresh == 0 {
            return Ok(());
        }
        self.place.write(&self.out, self.written)?;
        self.written = self.out.len();
        if fresh >= self.options.wake_bytes {
            self.begin_writeback();
        }
        self.publish(|state, size| state.written = size);
        Ok(())
    }

    /// Lets the disk begin with a large batch, so that the fsync that is due finds little left. It makes nothing
    /// durable, so that its result says nothing: what fails to be written fails the fsync.
    fn begin_writeback(&self) {
        // SAFETY: the descriptor is open; offset 0 and length 0 mean the whole file.
        unsafe {
            libc::sync_file_range(self.place.file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
        }
    }
}
