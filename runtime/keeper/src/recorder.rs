//! Where the mediators' notices become events: processes joined, repeats counted, causes named.

mod lineage;
mod notices;
mod repeats;
mod searches;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use custody_model::{Actor, Clock, EventId, ImageId, ProcessRef, Timestamp};
use custody_record::event::{
    BlobRef, Body, Draft, EgressDenied, ExitStatus, Gap, GapCode, GapSource, ProcessExecuted,
    ProcessExited,
};
use custody_record::{Sink, SinkError};
use custody_workspace::AccessSink;

use crate::processes::{Image, Processes};
pub(crate) use notices::can_run;
use repeats::{Owner, Repeats};
use searches::{Due, Searches};

/// The one way into the record of a session for all of its mediators.
pub struct Recorder {
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    own_pid: u32,
    state: Mutex<State>,
    /// Microseconds since 1970 of the last sign of life of the sandbox.
    active: AtomicI64,
    /// Gaps that were recorded: no channel's coverage is complete then.
    gaps: [AtomicU64; 7],
    /// Hears everything that the kernel has queued about forks and exits.
    hear: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Told once when the record can't be written.
    broken: OnceLock<Box<dyn Fn(SinkError) + Send + Sync>>,
}

#[derive(Default)]
struct State {
    processes: Processes,
    repeats: Repeats,
    searches: Searches,
    /// The event that led to the first process.
    start: Option<EventId>,
    /// Processes that ended; their last accesses may still be on the way.
    ended: Vec<Ended>,
}

struct Ended {
    pid: u32,
    status: Option<ExitStatus>,
    time: Timestamp,
}

/// An exec, as the seccomp notice and /proc tell it.
pub struct Exec {
    /// When it was asked for.
    pub time: Timestamp,
    /// The calling process.
    pub pid: u32,
    /// Its parent, if it still lives.
    pub parent: Option<u32>,
    /// The path given to `execve`.
    pub exe: String,
    /// The arguments. The journal cuts them, once they are redacted.
    pub argv: Vec<String>,
    /// They could not be read to their end.
    pub argv_cut: bool,
    /// The working directory.
    pub cwd: Option<String>,
    /// The call is about to fail with this errno.
    pub failed: Option<String>,
    /// What `exe` leads to, if that is another path.
    pub file: Option<String>,
    /// The image that it was told as before, with another file.
    pub corrects: Option<ImageId>,
    /// Where the program was looked for before, by the same attempt.
    pub tried: Option<Vec<String>>,
}

impl Recorder {
    /// A recorder that appends to `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now().as_micros();
        Self {
            sink,
            clock,
            own_pid: std::process::id(),
            state: Mutex::default(),
            active: AtomicI64::new(now),
            gaps: Default::default(),
            hear: OnceLock::new(),
            broken: OnceLock::new(),
        }
    }

    /// `hear` delivers everything that the kernel has queued about forks and exits: it is called when a process is
    /// met that nobody told of. Only the first call counts.
    pub fn listen_with(&self, hear: impl Fn() + Send + Sync + 'static) {
        // Given once, when the sandbox is provisioned.
        let _twice = self.hear.set(Box::new(hear));
    }

    /// `broken` is called when a notice that nobody answers for could not be recorded. Only the first call counts.
    pub fn alarm_with(&self, broken: impl Fn(SinkError) + Send + Sync + 'static) {
        let _twice = self.broken.set(Box::new(broken));
    }

    /// The event that everything in the sandbox follows from.
    pub fn started_by(&self, event: EventId) {
        self.lock().start = Some(event);
    }

    /// When the sandbox gave the last sign of life.
    #[must_use]
    pub fn last_active(&self) -> Timestamp {
        Timestamp::from_micros(self.active.load(Ordering::Relaxed))
    }

    /// A sign of life that is no event: terminal output.
    pub fn touch(&self, at: Timestamp) {
        self.active.store(at.as_micros(), Ordering::Relaxed);
    }

    /// Whether a gap of this channel was recorded.
    #[must_use]
    pub fn has_gap(&self, source: GapSource) -> bool {
        self.gaps[source as usize].load(Ordering::Relaxed) > 0
    }

    /// Records an exec that is about to happen and gives the process its new image, whose number it returns; of one that
    /// fails, the number of the old one. An exec that fails while the process looks through its search path `path` is
    /// recorded when the search is over: until then it had no effect.
    ///
    /// # Errors
    /// The record can't be written: the exec must not happen.
    pub fn record_exec(&self, exec: Exec, path: &[String]) -> Result<ImageId, SinkError> {
        self.touch(exec.time);
        let mut state = self.lock();
        if let Some(parent) = exec.parent {
            state.processes.forked(parent, exec.pid);
        }
        let before = state.processes.image(exec.pid).map(|i| i.id);
        let Due { before: earlier, now } = state.searches.take(exec, path);
        if let Some(earlier) = earlier {
            self.write_exec(&mut state, earlier)?;
        }
        match now {
            Some(exec) => self.write_exec(&mut state, exec),
            None => Ok(searches::image_of_failed(before)),
        }
    }

    /// Records the search that `pid` has not ended, because it does something else now.
    fn end_search(&self, state: &mut State, pid: u32) -> Result<(), SinkError> {
        match state.searches.end(pid) {
            Some(exec) => self.write_exec(state, exec).map(drop),
            None => Ok(()),
        }
    }

    fn write_exec(&self, state: &mut State, exec: Exec) -> Result<ImageId, SinkError> {
        let now = exec.time;
        let before = state.processes.image(exec.pid);
        let actor = Actor::Process(state.processes.reference(exec.pid));
        let cause = before.map(|i| i.event).or(state.start);
        let fails = exec.failed.is_some();
        // A failed call leaves the process as it was, so it must not use up a number that nobody runs.
        let image = match fails {
            true => searches::image_of_failed(before.map(|i| i.id)),
            false => state.processes.next_image(),
        };
        let body = Body::ProcessExecuted(ProcessExecuted {
            image,
            pid: exec.pid,
            parent: exec.parent,
            parent_image: before.map(|i| i.id),
            exe: exec.exe,
            argv: exec.argv,
            argv_cut: exec.argv_cut,
            argv_whole: None,
            cwd: exec.cwd,
            failed: exec.failed,
            file: exec.file,
            corrects: exec.corrects,
            tried: exec.tried,
        });
        let event =
            self.sink.observe(Draft { time: now, actor, cause, body, blobs: Vec::new() })?;
        if !fails && let Some(gone) = state.processes.executed(exec.pid, Image { id: image, event })
        {
            self.flush_repeats(state, Owner::Image(gone), now)?;
        }
        Ok(image)
    }

    /// A process ended. It stays known until [`Recorder::bury`]: its last accesses may still be in a queue.
    pub fn exited(&self, pid: u32, status: Option<ExitStatus>) {
        let time = self.clock.now();
        self.lock().ended.push(Ended { pid, status, time });
    }

    /// Records the exits that were heard of. `drain` has to bring everything that these processes did before: it is
    /// called after it is settled which exits are meant.
    ///
    /// # Errors
    /// Those of `drain`, and the record can't be written.
    pub fn bury(&self, drain: impl FnOnce() -> Result<(), SinkError>) -> Result<(), SinkError> {
        let ended = std::mem::take(&mut self.lock().ended);
        if ended.is_empty() {
            return Ok(());
        }
        drain()?;
        for Ended { pid, status, time } in ended {
            let mut state = self.lock();
            self.end_search(&mut state, pid)?;
            let reference = state.processes.reference(pid);
            let Some((image, gone)) = state.processes.exited(pid) else { continue };
            if let Some(gone) = gone {
                self.flush_repeats(&mut state, Owner::Image(gone), time)?;
            }
            let body = Body::ProcessExited(ProcessExited { pid, image: Some(image.id), status });
            self.sink.observe(Draft {
                time,
                actor: Actor::Process(reference),
                cause: Some(image.event),
                body,
                blobs: Vec::new(),
            })?;
        }
        Ok(())
    }

    /// A process tried to reach something outside and was refused.
    ///
    /// # Errors
    /// The record can't be written: the attempt is refused all the same.
    pub fn egress_denied(
        &self,
        time: Timestamp,
        pid: Option<u32>,
        denied: EgressDenied,
    ) -> Result<(), SinkError> {
        self.touch(time);
        let (actor, cause) = match pid {
            Some(pid) => {
                let (mut state, pid) = self.identified(pid);
                self.end_search(&mut state, pid)?;
                self.actor(&state, pid)
            }
            None => (Actor::Keeper, self.lock().start),
        };
        let body = Body::EgressDenied(denied);
        self.sink.observe(Draft { time, actor, cause, body, blobs: Vec::new() })?;
        Ok(())
    }

    /// Something could not be recorded.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn gap(&self, source: GapSource, code: GapCode, reason: String) -> Result<(), SinkError> {
        self.gaps[source as usize].fetch_add(1, Ordering::Relaxed);
        let code = Some(code);
        let gap = Gap { source, code, reason, from: None, until: None, process: None };
        self.keeper(Body::RecorderGap(gap), Vec::new())?;
        Ok(())
    }

    /// Something that the keeper did itself.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn keeper(&self, body: Body, blobs: Vec<BlobRef>) -> Result<EventId, SinkError> {
        let cause = self.lock().start;
        let draft = Draft { time: self.clock.now(), actor: Actor::Keeper, cause, body, blobs };
        self.sink.observe(draft)
    }

    /// Writes the counts of repeats that are still kept, at the end.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn finish(&self) -> Result<(), SinkError> {
        let now = self.clock.now();
        let mut state = self.lock();
        for exec in state.searches.end_all() {
            self.write_exec(&mut state, exec)?;
        }
        for owner in state.repeats.owners() {
            self.flush_repeats(&mut state, owner, now)?;
        }
        Ok(())
    }

    fn flush_repeats(
        &self,
        state: &mut State,
        owner: Owner,
        time: Timestamp,
    ) -> Result<(), SinkError> {
        for repeat in state.repeats.take(owner) {
            self.sink.observe(Draft {
                time,
                actor: Actor::Process(repeat.process),
                cause: Some(repeat.first),
                body: Body::FileReopened(repeat.body),
                blobs: Vec::new(),
            })?;
        }
        Ok(())
    }

    fn actor(&self, state: &State, pid: u32) -> (Actor, Option<EventId>) {
        // Before the command starts, only the keeper's own helpers touch the workspace, to bind it into the sandbox.
        if state.start.is_none() {
            return (Actor::Keeper, None);
        }
        let image = state.processes.image(pid);
        let reference = ProcessRef { image: image.map(|i| i.id), pid };
        (Actor::Process(reference), image.map(|i| i.event).or(state.start))
    }

    /// The state, and the process that `pid` is or is a thread of. An unknown one is looked for: its fork may still be
    /// in the kernel's queue, or it lives and /proc tells.
    fn identified(&self, pid: u32) -> (MutexGuard<'_, State>, u32) {
        let state = self.lock();
        if let Some(process) = state.processes.process(pid) {
            return (state, process);
        }
        // The sink of what is heard takes this lock.
        drop(state);
        if let Some(hear) = self.hear.get() {
            hear();
        }
        let mut state = self.lock();
        let process = match state.processes.process(pid) {
            Some(process) => process,
            None => lineage::find(&mut state.processes, pid),
        };
        (state, process)
    }

    fn tell_broken(&self, error: SinkError) {
        tracing::error!(%error, "a notice could not be recorded");
        if let Some(broken) = self.broken.get() {
            broken(error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessSink for Recorder {
    fn access(&self, time: Timestamp, pid: u32, body: Body) -> Result<(), SinkError> {
        self.touch(time);
        let (mut state, pid) = self.identified(pid);
        // The keeper looks at what is asked for, also through the guard: that is nobody's access.
        if pid == self.own_pid {
            return Ok(());
        }
        self.end_search(&mut state, pid)?;
        let (actor, cause) = self.actor(&state, pid);
        if let (Body::FileOutside(outside), Actor::Process(process)) = (&body, &actor)
            && state.repeats.is_known(*process, outside)
        {
            return Ok(());
        }
        let Body::FileOpened(opened) = body else {
            self.sink.observe(Draft { time, actor, cause, body, blobs: Vec::new() })?;
            return Ok(());
        };
        // Nobody's access: the keeper's own, before the command starts.
        let Actor::Process(process) = actor else {
            return Ok(());
        };
        if state.repeats.again(process, &opened) {
            return Ok(());
        }
        // The counts of an older content come before the event of the newer one.
        let older = state.repeats.forget(process, &opened);
        if let Some(repeat) = older {
            self.sink.observe(Draft {
                time,
                actor: Actor::Process(process),
                cause: Some(repeat.first),
                body: Body::FileReopened(repeat.body),
                blobs: Vec::new(),
            })?;
        }
        let draft = Draft {
            time,
            actor: Actor::Process(process),
            cause,
            body: Body::FileOpened(opened.clone()),
            blobs: Vec::new(),
        };
        let first = self.sink.observe(draft)?;
        state.repeats.first(process, opened, first);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
