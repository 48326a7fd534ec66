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
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use custody_model::{Clock, ImageId};
use custody_record::SinkError;
use custody_record::event::GapCode;
use nix::errno::Errno;

use super::notices::{ExecNotice, NoticeSink};
use super::walk::Spot;

/// Bytes of `struct fanotify_event_metadata`.
const EVENT_BYTES: usize = 24;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 64 * EVENT_BYTES;

/// Execs that are waited for before those of threads that are gone are forgotten: an exec that fails opens nothing.
const MAX_EXPECTED: usize = 4096;

/// Linux 6.13: an event whose file can't be opened is delivered, too. Absent from libc 0.2.
const FAN_REPORT_FD_ERROR: libc::c_uint = 0x2000;

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
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_TID
            | FAN_REPORT_FD_ERROR
            | libc::FAN_NONBLOCK
            | libc::FAN_CLOEXEC;
        let opened = (libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC | libc::O_NONBLOCK)
            .cast_unsigned();
        // SAFETY: a plain system call without pointers.
        let group = Errno::result(unsafe { libc::fanotify_init(flags, opened) })?;
        // SAFETY: the kernel just made this descriptor and nothing else owns it.
        let group = unsafe { OwnedFd::from_raw_fd(group) };
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

    /// How the record tells of it.
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
                        format!("what is opened to be run can't be read: {errno}"),
                    );
                    return Ok(());
                }
            };
            let events = parse(&buffer[..read]);
            // First of all every descriptor gets an owner.
            let opened: Vec<_> = events.into_iter().map(Opened::from).collect();
            for Opened { tid, file } in opened {
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
                    format!("what was opened to run {what:?} can't be told"),
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

/// Marks the mount at `point` as process `pid` sees it for `events`, and says its number.
pub(super) fn mark(group: &OwnedFd, pid: u32, point: &[u8], events: u64) -> io::Result<u64> {
    let place = [format!("/proc/{pid}/root").as_bytes(), point].concat();
    let place = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&place);
    let file = File::options().read(true).custom_flags(libc::O_PATH).open(place)?;
    let spot = Spot::of(file.into())?;
    let itself = std::ffi::CString::new(format!("/proc/self/fd/{}", spot.as_fd().as_raw_fd()))?;
    let how = libc::FAN_MARK_ADD | libc::FAN_MARK_MOUNT;
    // SAFETY: the group is open, the path is a C string that outlives the call.
    Errno::result(unsafe {
        libc::fanotify_mark(group.as_raw_fd(), how, events, libc::AT_FDCWD, itself.as_ptr())
    })?;
    Ok(spot.mount)
}

/// The mount points of a mountinfo table (proc_pid_mountinfo(5)). Lines that are not of that form are passed over.
pub(super) fn mount_points(mountinfo: &[u8]) -> Vec<Vec<u8>> {
    let points =
        mountinfo.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    points.map(unescaped).collect()
}

/// Undoes the octal escapes of mountinfo.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        (bytes, rest) = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                (bytes, tail)
            }
            _ => {
                bytes.push(*first);
                (bytes, tail)
            }
        };
    }
    bytes
}

/// One event, as the kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    /// The file, or a negative error number.
    fd: i32,
    tid: i32,
}

/// Events of `struct fanotify_event_metadata`, version 3. What follows on bytes of another form is passed over.
fn parse(buffer: &[u8]) -> Vec<Event> {
    let word = |bytes: &[u8], at: usize| -> Option<i32> {
        Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let mut events = Vec::new();
    let mut rest = buffer;
    while let (Some(length), Some(fd), Some(tid)) = (word(rest, 0), word(rest, 16), word(rest, 20))
    {
        let length = usize::try_from(length).unwrap_or(0);
        if length < EVENT_BYTES || length > rest.len() || rest[4] != libc::FANOTIFY_METADATA_VERSION
        {
            break;
        }
        events.push(Event { fd, tid });
        rest = &rest[length..];
    }
    events
}

/// An event whose descriptor has an owner.
struct Opened {
    tid: u32,
    file: Result<OwnedFd, Errno>,
}

impl From<Event> for Opened {
    fn from(event: Event) -> Self {
        let file = match event.fd {
            // SAFETY: the kernel made this descriptor for the reader of the event, which nobody else has.
            fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            error => Err(Errno::from_raw(error.saturating_neg())),
        };
        Self { tid: event.tid.cast_unsigned(), file }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let table = b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime - ext3 /dev/root rw\n\nx y\n";
        assert_eq!(mount_points(table), [b"/mnt 2".to_vec()]);
        assert_eq!(unescaped(b"a\\134\\9\\"), b"a\\\\9\\");
    }

    fn event(fd: i32, tid: i32) -> Vec<u8> {
        let mut bytes = (EVENT_BYTES as u32).to_ne_bytes().to_vec();
        bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0, EVENT_BYTES as u8, 0]);
        bytes.extend(libc::FAN_OPEN_EXEC.to_ne_bytes());
        bytes.extend([fd.to_ne_bytes(), tid.to_ne_bytes()].concat());
        bytes
    }

    #[test]
    fn events_are_read_as_the_kernel_writes_them() {
        let two = [event(7, 100), event(-13, 101)].concat();
        assert_eq!(parse(&two), [Event { fd: 7, tid: 100 }, Event { fd: -13, tid: 101 }]);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = mount_points(&bytes);
        }

        #[test]
        fn damaged_events_never_panic(at in 0usize..48, value: u8) {
            let mut bytes = [event(7, 100), event(8, 101)].concat();
            bytes[at] = value;
            let _ = parse(&bytes);
        }
    }
}
