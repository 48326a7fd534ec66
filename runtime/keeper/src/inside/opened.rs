//! fanotify groups whose events come with the opened file, and their marks on the mounts of a sandbox.
//!
//! Format: `struct fanotify_event_metadata`, version 3, as in fanotify(7).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;

use super::walk::Spot;

/// Bytes of `struct fanotify_event_metadata`.
pub(super) const EVENT_BYTES: usize = 24;

/// Bytes that are read at once: each event is an open descriptor.
pub(super) const BUFFER_BYTES: usize = 64 * EVENT_BYTES;

/// Linux 6.13: an event whose file can't be opened is delivered, too. Absent from libc 0.2.
pub(super) const FAN_REPORT_FD_ERROR: libc::c_uint = 0x2000;

/// A group with an unlimited queue, which does not block; `flags` are its class and what else it is to do.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` in the initial user namespace; `EINVAL` for flags that the kernel does not know.
pub(super) fn group(flags: libc::c_uint) -> Result<OwnedFd, Errno> {
    let flags = flags
        | libc::FAN_UNLIMITED_QUEUE
        | libc::FAN_UNLIMITED_MARKS
        | libc::FAN_NONBLOCK
        | libc::FAN_CLOEXEC;
    let opened =
        (libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC | libc::O_NONBLOCK).cast_unsigned();
    // SAFETY: a plain system call without pointers.
    let group = Errno::result(unsafe { libc::fanotify_init(flags, opened) })?;
    // SAFETY: the kernel just made this descriptor and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(group) })
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
    id: i32,
    mask: u64,
}

/// Events of `struct fanotify_event_metadata`, version 3. What follows on bytes of another form is passed over.
fn parse(buffer: &[u8]) -> Vec<Event> {
    let word = |bytes: &[u8], at: usize| -> Option<i32> {
        Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let mut events = Vec::new();
    let mut rest = buffer;
    while let (Some(length), Some(fd), Some(id)) = (word(rest, 0), word(rest, 16), word(rest, 20)) {
        let length = usize::try_from(length).unwrap_or(0);
        if length < EVENT_BYTES || length > rest.len() || rest[4] != libc::FANOTIFY_METADATA_VERSION
        {
            break;
        }
        let mask = rest[8..16].try_into().map_or(0, u64::from_ne_bytes);
        events.push(Event { fd, id, mask });
        rest = &rest[length..];
    }
    events
}

/// An event whose descriptor has an owner.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) mask: u64,
    /// The process, or the thread where the group reports threads.
    pub(super) id: u32,
    /// The opened file, or why it can't be had.
    pub(super) file: Result<OwnedFd, Errno>,
}

impl From<Event> for Opened {
    fn from(event: Event) -> Self {
        let file = match event.fd {
            // SAFETY: the kernel made this descriptor for the reader of the event, which nobody else has.
            fd @ 0.. => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            error => Err(Errno::from_raw(error.saturating_neg())),
        };
        Self { mask: event.mask, id: event.id.cast_unsigned(), file }
    }
}

/// The events that one read of a group filled the buffer with. Every descriptor among them has an owner at the return.
pub(super) fn opened(buffer: &[u8]) -> Vec<Opened> {
    parse(buffer).into_iter().map(Opened::from).collect()
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

    fn event(fd: i32, id: i32) -> Vec<u8> {
        let mut bytes = (EVENT_BYTES as u32).to_ne_bytes().to_vec();
        bytes.extend([libc::FANOTIFY_METADATA_VERSION, 0, EVENT_BYTES as u8, 0]);
        bytes.extend(libc::FAN_OPEN_EXEC.to_ne_bytes());
        bytes.extend([fd.to_ne_bytes(), id.to_ne_bytes()].concat());
        bytes
    }

    #[test]
    fn events_are_read_as_the_kernel_writes_them() {
        let two = [event(7, 100), event(-13, 101)].concat();
        let mask = libc::FAN_OPEN_EXEC;
        let expected = [Event { fd: 7, id: 100, mask }, Event { fd: -13, id: 101, mask }];
        assert_eq!(parse(&two), expected);
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
