//! What the kernel opened to be run, compared with what was told of the exec before: between the two another thread of the
//! caller, or whoever can change a link on the way, may have put something else in its place.
//!
//! A fanotify group with a mark for `OPEN_EXEC` on each mount of the sandbox. The event is in the queue, with the calling
//! thread and the opened file, before the exec happens, and for each exec the first one is of the program itself; then
//! come interpreters. It is a fact for the record, and delays nobody.
//!
//! Known limits: a program that lies on no mount of the sandbox (`memfd_create`) raises no event. If it was told of as
//! such, nothing is compared; if it was put in the place of another, the file in the correction is its loader, and without
//! one nothing tells of it. Arguments are in the caller's memory, and nothing tells which of them the kernel read.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use custody_model::{Clock, ImageId};
use custody_record::SinkError;
use custody_record::event::GapCode;
use nix::errno::Errno;

use super::notices::{ExecNotice, NoticeSink};
use super::opened::{BUFFER_BYTES, FAN_REPORT_FD_ERROR, Opened, group, mark, mount_points, opened};
use super::walk::Spot;

/// Execs that are waited for before those of threads that are gone are forgotten: an exec that fails opens nothing.
const MAX_EXPECTED: usize = 4096;

/// Compares what is run in one sandbox with what is told of it.
pub struct Programs {
    group: OwnedFd,
    /// The watched mounts by their numbers.
    mounts: HashSet<u64>,
    /// Mount points that can't be watched.
    unwatched: Vec<String>,
    state: Mutex<State>,
    sink: Arc<dyn NoticeSink>,
    clock: Arc<dyn Clock>,
}

struct State {
    buffer: Box<[u8; BUFFER_BYTES]>,
    /// By thread: what it is about to run, until its program is opened.
    expected: HashMap<u32, Expected>,
}

struct Expected {
    notice: ExecNotice,
    image: ImageId,
    /// Path and identity of what was found; none if there was nothing.
    found: Option<(Vec<u8>, Identity)>,
}

type Identity = ((u32, u32), u64);

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").field("mounts", &self.mounts.len()).finish_non_exhaustive()
    }
}

impl Programs {
    /// Watches the mounts that process `pid` sees. They must stay what they are.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `EINVAL` before Linux 6.13; the list of mounts
    /// can't be read.
    pub fn watch(pid: u32, sink: Arc<dyn NoticeSink>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let group = group(libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_TID | FAN_REPORT_FD_ERROR)?;
        let (mut mounts, mut unwatched) = (HashSet::new(), Vec::new());
        for point in mount_points(&std::fs::read(format!("/proc/{pid}/mountinfo"))?) {
            match mark(&group, pid, &point, libc::FAN_OPEN_EXEC) {
                Ok(mount) => {
                    mounts.insert(mount);
                }
                Err(error) => {
                    let point = String::from_utf8_lossy(&point).into_owned();
                    tracing::debug!(%error, point, "a mount can't be watched for what is run");
                    unwatched.push(point);
                }
            }
        }
        let buffer = Box::new([0; BUFFER_BYTES]);
        let state = Mutex::new(State { buffer, expected: HashMap::new() });
        Ok(Self { group, mounts, unwatched, state, sink, clock })
    }

    /// The description of the watch for the record.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = format!("compared with what is opened on {} mounts", self.mounts.len());
        if !self.unwatched.is_empty() {
            told = format!("{told}, not on {}", self.unwatched.join(" "));
        }
        told
    }

    /// The exec of `notice` is about to be let through, told as `image`; `found` is the file that it leads to.
    pub(super) fn expect(&self, notice: ExecNotice, image: ImageId, found: Option<Spot>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tid = notice.tid;
        if found.as_ref().is_some_and(|found| !self.mounts.contains(&found.mount)) {
            state.expected.remove(&tid);
            return;
        }
        let found = found.and_then(|found| Some((found.path()?, found.identity())));
        state.expected.insert(tid, Expected { notice, image, found });
        if state.expected.len() > MAX_EXPECTED {
            state.expected.retain(|tid, _| Path::new(&format!("/proc/{tid}")).exists());
        }
    }

    /// Returns when everything that the kernel had opened to be run at the call is compared, and what differs has
    /// reached the sink. The sink must not call it.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn drain(&self) -> Result<(), SinkError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { buffer, expected } = &mut *state;
        loop {
            let read = match nix::unistd::read(&self.group, buffer.as_mut_slice()) {
                Ok(read @ 1..) => read,
                Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => continue,
                Err(errno) => {
                    self.sink.gap(
                        GapCode::ExecutableUnknown,
                        format!("the opens of programs can't be received: {errno}"),
                    );
                    return Ok(());
                }
            };
            for Opened { id: tid, file, .. } in opened(&buffer[..read]) {
                // Interpreters follow the program.
                let Some(expected) = expected.remove(&tid) else { continue };
                self.compare(expected, file)?;
            }
        }
    }

    fn compare(&self, expected: Expected, file: Result<OwnedFd, Errno>) -> Result<(), SinkError> {
        let Expected { notice, image, found } = expected;
        let opened = file.and_then(Spot::of).map(|file| (file.path(), file.identity()));
        let (path, identity) = match opened {
            Ok((Some(path), identity)) => (path, identity),
            Ok((None, _)) | Err(_) => {
                let what = &notice.path;
                self.sink.gap(
                    GapCode::ExecutableUnknown,
                    format!("the file that was opened to run {what:?} can't be determined"),
                );
                return Ok(());
            }
        };
        if found.is_some_and(|found| found.0 == path || found.1 == identity) {
            return Ok(());
        }
        let opened = String::from_utf8_lossy(&path).into_owned();
        self.sink.corrected(self.clock.now(), notice, image, opened)
    }
}
