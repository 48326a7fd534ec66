//! The observer: sees every access to the session's overlay at native speed, by one fanotify mark on its superblock,
//! and tells it as events of the record.
//!
//! The kernel queues an event before the system call that causes it returns, so [`Observer::drain`] is the barrier
//! before an effect. It decides nothing and writes nothing to the workspace; it reads files through the clean view,
//! and what its own process does there is not told (the guard tells its part itself).
//!
//! Known limits, by the kernel's design: events on one object by one process merge while they wait, so counts are
//! lower bounds and their order is lost. Where an object went there and back meanwhile, its place is looked up, and what was
//! told of paths below it is told as uncertain, with a gap. What is read while somebody can write to the file, also through
//! a mapping that outlives its descriptor, has no digest; what is read from a file that was written among the same events
//! has one that is uncertain. Where one of the kernel's events tells of several things and a directory above was renamed after
//! the first of them, the path is uncertain as well. A write that no event tells of (through a mapping) is said to be of an
//! unknown process where several can have made it. An open for writing is reported when it is written to or closed.

mod batch;
mod directories;
mod engine;
mod files;
mod group;
mod moves;
mod notice;
mod probe;
mod renames;
mod whereabouts;
mod writers;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use custody_model::Clock;
use custody_policy::PathRules;
use custody_record::SinkError;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::access::AccessSink;
use crate::content::Contents;
use engine::Engine;
use group::Group;

pub use directories::{MAX_CACHED_DIRECTORIES, MAX_PRIMED_DIRECTORIES};
pub use probe::{Probe, probe};

/// The pid of an access whose process can't be told: a write through a mapping that was found later.
pub const UNKNOWN_PID: u32 = 0;

/// Milliseconds that events are left to gather after the first of them. [`Observer::drain`] does not wait for it.
const COALESCE_MILLIS: u16 = 2;

/// How often the backlog is looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(100);

/// When the sandbox has to wait for the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Events that wait: above it the sandbox is to be frozen.
    pub freeze_events: u64,
    /// Below it, thawed again.
    pub thaw_events: u64,
}

impl Default for BacklogLimits {
    /// About 50 MB of the kernel's memory.
    fn default() -> Self {
        Self { freeze_events: 200_000, thaw_events: 20_000 }
    }
}

/// What the keeper has to know beyond the accesses. Called from the observer's threads; must not call the observer.
pub trait Alarms: Send + Sync {
    /// Something was not seen: a `recorder.gap` of the channel `files`.
    fn gap(&self, reason: String);

    /// The backlog went above (`true`: freeze the sandbox) or below (`false`: thaw it) its limit.
    fn backlog(&self, high: bool);

    /// The record can't be written. Told once; nothing may leave the sandbox any more.
    fn failed(&self, error: &SinkError);
}

/// What an observer is made of.
pub struct ObserverConfig<'a> {
    /// The overlay's mount (also as `fsmount` gives it) or any directory of it; only needed during the start.
    pub mount: BorrowedFd<'a>,
    /// The root of the overlay's upper layer (or the mount again, where there is no overlay); only needed during the start. Who
    /// has a file open for writing or mapped is seen there alone.
    pub upper: BorrowedFd<'a>,
    /// What version each path has.
    pub contents: Arc<Contents>,
    /// Takes the accesses.
    pub sink: Arc<dyn AccessSink>,
    /// Takes the rest.
    pub alarms: Arc<dyn Alarms>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// A path that comes to be where a rule guards is told as `policy.violated`.
    pub rules: PathRules,
    /// The process whose accesses are not told: the keeper's own.
    pub own_pid: u32,
    /// When the sandbox has to wait.
    pub backlog: BacklogLimits,
}

/// Why the observer can't go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObserveError {
    /// `EPERM`: not root in the initial user namespace; `EOPNOTSUPP`: the overlay lacks `index=on,nfs_export=on`.
    #[error("the overlay can't be watched with fanotify: {0}")]
    Watch(#[source] Errno),
    /// A thread or a descriptor could not be made.
    #[error("the observer can't be started: {0}")]
    Start(#[source] Errno),
    /// The queue can't be read: nothing is seen any more.
    #[error("the events of the workspace can't be read any more: {0}")]
    Read(String),
    /// The record can't be written.
    #[error(transparent)]
    Record(#[from] SinkError),
}

/// What an observer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Events of the kernel, those of the own process included.
    pub notices: u64,
    /// What was told to the sink.
    pub accesses: u64,
    /// Gaps that were told.
    pub gaps: u64,
}

/// Watches one session's overlay until it is dropped.
pub struct Observer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    group: Arc<Group>,
    engine: Mutex<Engine>,
    alarms: Arc<dyn Alarms>,
    limits: BacklogLimits,
    stopping: AtomicBool,
    wake: EventFd,
    stopped: (Mutex<bool>, Condvar),
}

impl Observer {
    /// Starts to watch. Whatever happens on the overlay after the return is told.
    ///
    /// # Errors
    /// [`ObserveError::Watch`], [`ObserveError::Start`].
    pub fn start(config: ObserverConfig<'_>) -> Result<Self, ObserveError> {
        let mount = group::readable_directory(config.mount).map_err(ObserveError::Watch)?;
        let upper = group::readable_directory(config.upper).map_err(ObserveError::Start)?;
        let group = Arc::new(Group::watch(mount.as_fd()).map_err(ObserveError::Watch)?);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_flags(flags).map_err(ObserveError::Start)?;
        let alarms = Arc::clone(&config.alarms);
        let limits = config.backlog;
        let engine = Mutex::new(Engine::new(Arc::clone(&group), mount, upper, config));
        let stopping = AtomicBool::new(false);
        let stopped = Default::default();
        let shared = Arc::new(Shared { group, engine, alarms, limits, stopping, wake, stopped });
        let mut observer = Self { shared, threads: Vec::new() };
        observer.spawn("observe", Shared::follow)?;
        observer.spawn("observe-watch", Shared::watch)?;
        Ok(observer)
    }

    fn spawn(&mut self, name: &str, run: fn(&Shared)) -> Result<(), ObserveError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared));
        let failed = |e: std::io::Error| {
            ObserveError::Start(Errno::from_raw(e.raw_os_error().unwrap_or(libc::EAGAIN)))
        };
        self.threads.push(thread.map_err(failed)?);
        Ok(())
    }

    /// Returns once everything that happened on the overlay before the call has reached the sink, with the digests of
    /// all versions whose writers have closed them. Works in the thread of the caller.
    ///
    /// # Errors
    /// [`ObserveError::Record`], [`ObserveError::Read`]: the effect that waits for it must not happen.
    pub fn drain(&self) -> Result<(), ObserveError> {
        self.shared.lock().run()
    }

    /// As [`Observer::drain`], and tells the current version of files that were written and still have a writer, with
    /// `open: true` (without a digest where they are larger than the limit for open files).
    ///
    /// # Errors
    /// As [`Observer::drain`].
    pub fn settle(&self) -> Result<(), ObserveError> {
        let mut engine = self.shared.lock();
        engine.run()?;
        engine.settle()
    }

    /// Events that wait in the kernel.
    #[must_use]
    pub fn backlog_events(&self) -> u64 {
        self.shared.group.waiting().unwrap_or(0)
    }

    /// Ends the watch, after a last [`Observer::settle`]. Call it when the sandbox has ended.
    ///
    /// # Errors
    /// As [`Observer::drain`].
    pub fn finish(mut self) -> Result<Observed, ObserveError> {
        self.stop();
        let mut engine = self.shared.lock();
        engine.contents.end();
        engine.run()?;
        engine.settle()?;
        Ok(engine.observed())
    }

    fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // A full counter wakes as well.
        let _ = self.shared.wake.write(1);
        let (stopped, changed) = &self.shared.stopped;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic of the thread is found by the caller's own run of the engine.
            let _ = thread.join();
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles what comes, until the stop.
    fn follow(&self) {
        if self.lock().run().is_err() {
            return;
        }
        while !self.stopping.load(Ordering::Acquire) {
            let mut both = [
                PollFd::new(self.group.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut both, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.lock().broken(&format!("poll: {errno}"));
                    return;
                }
            }
            // Lets more of them come, and merge; the stop does not wait for it.
            let mut stop = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut stop, PollTimeout::from(COALESCE_MILLIS));
            if self.lock().run().is_err() {
                // It was told, and every drain tells it again.
                return;
            }
        }
    }

    /// Tells when the backlog crosses its limits, also while the engine waits for the disk or hashes.
    fn watch(&self) {
        let (stopped, changed) = &self.stopped;
        let mut high = false;
        let mut stop = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stop {
            let waiting = self.group.waiting().unwrap_or(0);
            let now = if high {
                waiting >= self.limits.thaw_events
            } else {
                waiting > self.limits.freeze_events
            };
            if now != high {
                high = now;
                self.alarms.backlog(high);
            }
            let waited = changed.wait_timeout(stop, WATCH_PERIOD);
            stop = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if high {
            self.alarms.backlog(false);
        }
    }
}
