//! The thread that chains, writes and fsyncs.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use custody_model::Digest;

use super::frame::append_frame;
use super::{JournalOptions, Queue, Shared, State};
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
    file: File,
    shared: Arc<Shared>,
    options: JournalOptions,
    prev: Option<Digest>,
    frontier: Frontier,
    out: Vec<u8>,
    synced: Instant,
}

impl Writer {
    pub(super) fn new(
        file: File,
        shared: Arc<Shared>,
        options: JournalOptions,
        prev: Option<Digest>,
        frontier: Frontier,
    ) -> Self {
        Self { file, shared, options, prev, frontier, out: Vec::new(), synced: Instant::now() }
    }

    pub(super) fn run(mut self) {
        if let Err(error) = self.write_until_stopped() {
            let mut state = self.shared.lock();
            state.failed = Some(error.to_string());
            drop(state);
            self.shared.done.notify_all();
        }
    }

    fn write_until_stopped(&mut self) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut spare = Queue::default();
        loop {
            let mut state = self.wait_for_work(shared.lock());
            let stop = state.stop && state.queue.events.is_empty();
            let mut queue = std::mem::replace(&mut state.queue, std::mem::take(&mut spare));
            drop(state);
            if !queue.events.is_empty() {
                // The buffer is empty again: let those in who wait for room while this batch is written.
                shared.done.notify_all();
                self.write(&queue)?;
                queue.bytes.clear();
                queue.events.clear();
            }
            spare = queue;

            let mut state = shared.lock();
            let written = self.frontier.size();
            if state.written != written {
                state.written = written;
                state.frontier = self.frontier.clone();
                shared.done.notify_all();
            }
            let sync = state.durable < written
                && (state.sync_to > state.durable
                    || state.stop
                    || self.synced.elapsed() >= self.options.commit_interval);
            drop(state);
            if sync {
                self.file.sync_data()?;
                self.synced = Instant::now();
                shared.lock().durable = written;
                shared.done.notify_all();
            }
            if stop {
                return Ok(());
            }
        }
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

    fn write(&mut self, queue: &Queue) -> std::io::Result<()> {
        self.out.clear();
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
        self.file.write_all(&self.out)?;
        if self.out.len() >= self.options.wake_bytes {
            self.begin_writeback();
        }
        Ok(())
    }

    /// Lets the disk begin with a large batch, so that the fsync that is due finds little left. It makes nothing
    /// durable, so that its result says nothing: what fails to be written fails the fsync.
    fn begin_writeback(&self) {
        // SAFETY: the descriptor is open; offset 0 and length 0 mean the whole file.
        unsafe {
            libc::sync_file_range(self.file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
        }
    }
}
