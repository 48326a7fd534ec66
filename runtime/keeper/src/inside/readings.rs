//! What is read of the image outside of the system's own trees.
//!
//! A fanotify group with a mark on each such mount of the sandbox: a mark of the file system would tell of the whole
//! machine, because a `host` root is the machine's own. The event comes with the opened file, so that its path is that
//! of the sandbox. The image is read-only, hence there is nothing to tell but opens. The event is in the queue before
//! the open returns; a long queue freezes the sandbox, and drops nothing.
//!
//! Known limits: files that are opened with `O_PATH` and listings of directories raise no event. Events on one file by
//! one process merge while they wait.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use custody_model::{Clock, Digest, Timestamp};
use custody_record::SinkError;
use custody_record::event::{
    FileKind, FileOutside, FileRead, Operation, OutsidePlace, Uncertain, Unhashed,
};
use custody_sandbox::spec::{CUSTODY_INSIDE, SCRATCH_DIRECTORIES, WORKSPACE_INSIDE};
use custody_workspace::observe::{Alarms, BacklogLimits};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::notices::NoticeSink;
use super::opened::{
    BUFFER_BYTES, EVENT_BYTES, FAN_REPORT_FD_ERROR, Opened, group, mark, mount_points, opened,
};
use super::walk::Spot;

/// Contents that are remembered; beyond it the cache starts anew.
const MAX_KNOWN: usize = 65_536;

/// How often the backlog is looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(100);

/// How far times of files are behind the clock at most, in microseconds.
const CLOCK_TICK_MICROS: i64 = 10_000;

/// The kernel's own trees, which are no part of an image.
const KERNEL_TREES: [&str; 3] = ["/proc", "/sys", "/dev"];

nix::ioctl_read_bad!(fionread, libc::FIONREAD, libc::c_int);

/// The system's own trees of an image, as absolute paths in the sandbox.
#[derive(Clone, Copy, Debug)]
pub struct WatchedTrees {
    /// The system's own trees: reads there are not reported.
    pub system: &'static [&'static str],
    /// Trees below them that are not the system's own.
    pub added: &'static [&'static str],
}

impl WatchedTrees {
    /// Whether reads of a mount are reported. The root itself holds only what the driver made.
    fn include(self, point: &str) -> bool {
        let below = |tree: &str| {
            point.strip_prefix(tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.added.iter().any(|tree| below(tree)) {
            return true;
        }
        let scratch = SCRATCH_DIRECTORIES.iter().any(|(_, inside)| below(inside));
        let own = [WORKSPACE_INSIDE, CUSTODY_INSIDE].into_iter().chain(KERNEL_TREES).any(below);
        point != "/" && !scratch && !own && !self.system.iter().any(|tree| below(tree))
    }
}

/// The receivers of events and alarms.
pub struct ReadingSinks {
    /// Takes the accesses.
    pub sink: Arc<dyn NoticeSink>,
    /// Takes gaps and backlogs.
    pub alarms: Arc<dyn Alarms>,
}

/// Reports reads of one sandbox's image, until it is dropped.
pub struct Readings {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    group: OwnedFd,
    /// Keeps the sandbox's mounts attached until all events are reported: only files of attached mounts have a path.
    mounts: Mutex<Option<File>>,
    watched: Vec<String>,
    unwatched: Vec<String>,
    trees: WatchedTrees,
    state: Mutex<State>,
    sinks: ReadingSinks,
    clock: Arc<dyn Clock>,
    /// Larger files are not hashed, in bytes.
    limit: u64,
    started: Timestamp,
    own: u32,
    stop: EventFd,
    stopped: (Mutex<bool>, Condvar),
}

struct State {
    buffer: Box<[u8; BUFFER_BYTES]>,
    known: HashMap<Stamp, Digest>,
}

/// Device, inode, bytes, and the time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readings").field("watched", &self.shared.watched).finish_non_exhaustive()
    }
}

impl Readings {
    /// Watches the mounts that process `pid` sees, but those of `trees.system`. They must stay what they are. Files of
    /// more than `limit` bytes are told without a digest.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `EINVAL` before Linux 6.13; the list of mounts
    /// can't be read, or a thread can't be had.
    pub fn watch(
        pid: u32,
        trees: WatchedTrees,
        sinks: ReadingSinks,
        clock: Arc<dyn Clock>,
        limit: u64,
    ) -> io::Result<Self> {
        let group = group(libc::FAN_CLASS_NOTIF | FAN_REPORT_FD_ERROR)?;
        let mounts = File::open(format!("/proc/{pid}/ns/mnt"))?;
        let (mut watched, mut unwatched) = (Vec::new(), Vec::new());
        for point in mount_points(&std::fs::read(format!("/proc/{pid}/mountinfo"))?) {
            let text = String::from_utf8_lossy(&point).into_owned();
            if !trees.include(&text) {
                continue;
            }
            match mark(&group, pid, &point, libc::FAN_OPEN | libc::FAN_OPEN_EXEC) {
                Ok(_) => watched.push(text),
                Err(error) => {
                    tracing::debug!(%error, point = text, "reads of a mount can't be watched");
                    unwatched.push(text);
                }
            }
        }
        let state = State { buffer: Box::new([0; BUFFER_BYTES]), known: HashMap::new() };
        let shared = Arc::new(Shared {
            group,
            mounts: Mutex::new(Some(mounts)),
            watched,
            unwatched,
            trees,
            state: Mutex::new(state),
            sinks,
            started: clock.now(),
            clock,
            limit,
            own: std::process::id(),
            stop: EventFd::new()?,
            stopped: Default::default(),
        });
        if !shared.unwatched.is_empty() {
            let points = shared.unwatched.join(" ");
            shared.sinks.alarms.gap(format!("reads at {points} can't be watched"));
        }
        let mut readings = Self { shared, threads: Vec::new() };
        if !readings.shared.watched.is_empty() {
            readings.spawn("readings", Shared::follow)?;
            readings.spawn("readings-watch", Shared::watch_backlog)?;
        }
        Ok(readings)
    }

    fn spawn(&mut self, name: &str, run: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || run(&shared))?);
        Ok(())
    }

    /// The description of the watch for the record.
    #[must_use]
    pub fn told(&self) -> String {
        let Shared { watched, trees, .. } = &*self.shared;
        let places = match watched.as_slice() {
            [] => "no mounts".to_owned(),
            watched => watched.join(" "),
        };
        format!(
            "reads are recorded of {places}; not of the system's own trees {}",
            trees.system.join(" ")
        )
    }

    /// Returns when everything that was read at the call has reached the sink. The sink must not call it.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn drain(&self) -> Result<(), SinkError> {
        self.shared.drain()
    }

    /// The last drain, once nothing of the sandbox runs. Lets its mounts go.
    ///
    /// # Errors
    /// As [`Readings::drain`].
    pub fn finish(&self) -> Result<(), SinkError> {
        let drained = self.drain();
        self.shared.mounts.lock().unwrap_or_else(PoisonError::into_inner).take();
        drained
    }
}

impl Drop for Readings {
    fn drop(&mut self) {
        let (stopped, changed) = &self.shared.stopped;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
        if let Err(errno) = self.shared.stop.write(1) {
            tracing::error!(%errno, "the watch of the image can't be stopped");
            return;
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that watches the image panicked");
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self) {
        loop {
            let mut ready = [
                PollFd::new(self.group.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => {
                    let reason = format!("waiting for reads of the image failed: {errno}");
                    return self.sinks.alarms.gap(reason);
                }
            }
            if ready[1].revents().is_some_and(|r| !r.is_empty()) {
                return;
            }
            if let Err(error) = self.drain() {
                return self.sinks.alarms.failed(&error);
            }
        }
    }

    /// Tells when the backlog crosses its limits.
    fn watch_backlog(&self) {
        let limits = BacklogLimits::default();
        let (stopped, changed) = &self.stopped;
        let mut high = false;
        let mut stop = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stop {
            let waiting = self.waiting();
            let now = match high {
                true => waiting >= limits.thaw_events,
                false => waiting > limits.freeze_events,
            };
            if now != high {
                high = now;
                self.sinks.alarms.backlog(high);
            }
            let waited = changed.wait_timeout(stop, WATCH_PERIOD);
            stop = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if high {
            self.sinks.alarms.backlog(false);
        }
    }

    /// Events that wait in the kernel.
    fn waiting(&self) -> u64 {
        let mut bytes = 0;
        // SAFETY: the descriptor is open and `bytes` is the int that FIONREAD writes.
        let done = unsafe { fionread(self.group.as_raw_fd(), &raw mut bytes) };
        done.ok().and_then(|_| u64::try_from(bytes).ok()).unwrap_or(0) / EVENT_BYTES as u64
    }

    fn drain(&self) -> Result<(), SinkError> {
        let mut state = self.lock();
        // Those that come meanwhile are told as well, but an endless stream of them is not waited for.
        let mut due = self.waiting();
        loop {
            let read = match nix::unistd::read(&self.group, state.buffer.as_mut_slice()) {
                Ok(read @ 1..) => read,
                Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(errno) => {
                    let reason = format!("reads of the image can't be received: {errno}");
                    self.sinks.alarms.gap(reason);
                    return Ok(());
                }
            };
            let opened = opened(&state.buffer[..read]);
            due = due.saturating_sub(opened.len() as u64);
            for opened in opened {
                self.tell(&mut state.known, opened)?;
            }
            if due == 0 {
                return Ok(());
            }
        }
    }

    fn tell(&self, known: &mut HashMap<Stamp, Digest>, opened: Opened) -> Result<(), SinkError> {
        let Opened { mask, id: pid, file } = opened;
        if mask & libc::FAN_Q_OVERFLOW != 0 {
            self.sinks.alarms.gap("the kernel's queue of reads of the image overflowed".to_owned());
            return Ok(());
        }
        if pid == self.own {
            return Ok(());
        }
        let file = match file {
            Ok(file) => file,
            Err(errno) => {
                self.sinks
                    .alarms
                    .gap(format!("a file that was read of the image can't be opened: {errno}"));
                return Ok(());
            }
        };
        let path = file.try_clone().ok().and_then(|fd| Spot::of(fd).ok());
        let Some(path) = path.and_then(|spot| spot.path()) else {
            self.sinks.alarms.gap(
                "the path of a file that was read of the image can't be determined".to_owned(),
            );
            return Ok(());
        };
        let (content, uncertain, unhashed) = self.content(known, File::from(file));
        let operation = match mask & libc::FAN_OPEN_EXEC {
            0 => Operation::Read,
            _ => Operation::Execute,
        };
        let path = String::from_utf8_lossy(&path).into_owned();
        let told = FileOutside::new(OutsidePlace::Image, path, operation, FileKind::File);
        let outside = FileOutside { content, uncertain, unhashed, ..told };
        self.sinks.sink.outside(self.clock.now(), pid, outside)
    }

    /// What a file has. It is read-only for the session, but the machine may change it.
    fn content(
        &self,
        known: &mut HashMap<Stamp, Digest>,
        file: File,
    ) -> (Option<FileRead>, Option<Uncertain>, Option<Unhashed>) {
        let Ok(found) = file.metadata() else { return (None, Some(Uncertain::Content), None) };
        if !found.is_file() {
            return (None, None, None);
        }
        let size = found.len();
        let ctime = found.ctime().saturating_mul(1_000_000) + found.ctime_nsec() / 1_000;
        let changed = ctime.saturating_add(CLOCK_TICK_MICROS) >= self.started.as_micros();
        let uncertain = Uncertain::of(false, changed);
        if size > self.limit {
            let content = FileRead { size: Some(size), ..FileRead::default() };
            return (Some(content), uncertain, Some(Unhashed::TooLarge));
        }
        let stamp = (found.dev(), found.ino(), size, found.ctime(), found.ctime_nsec());
        let digest = known.get(&stamp).copied().or_else(|| {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            let read = file.take(self.limit).read_to_end(&mut bytes).ok()?;
            let digest = (read as u64 == size).then(|| Digest::of(&bytes))?;
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert(stamp, digest);
            Some(digest)
        });
        let uncertain = Uncertain::of(false, changed || digest.is_none());
        (Some(FileRead { digest, size: Some(size), git_blob: None }), uncertain, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_trees_are_not_told_and_what_was_added_to_them_is() {
        let trees = WatchedTrees { system: &["/usr", "/etc", "/bin"], added: &["/usr/local"] };
        let (told, untold) = (
            ["/opt", "/srv", "/data", "/usr/local", "/usr/local/share/x", "/binary", "/var"],
            ["/", "/usr", "/usr/lib/x", "/etc", "/proc", "/dev/shm", "/tmp", "/workspace/secrets"],
        );
        assert_eq!(told.map(|point| trees.include(point)), told.map(|_| true));
        assert_eq!(untold.map(|point| trees.include(point)), untold.map(|_| false));
    }
}
