//! The netlink process connector (`linux/cn_proc.h`): datagrams of forks and exits of the whole machine.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use custody_record::event::ExitStatus;

/// `NETLINK_CONNECTOR`'s one group and message id for process events.
const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
/// Begin to listen.
const PROC_CN_MCAST_LISTEN: u32 = 1;
const PROC_EVENT_FORK: u32 = 0x0000_0001;
const PROC_EVENT_EXIT: u32 = 0x8000_0000;

const NLMSG_HEADER_BYTES: usize = 16;
const CN_HEADER_BYTES: usize = 20;
/// `what`, `cpu` and a timestamp of eight bytes.
const EVENT_HEADER_BYTES: usize = 16;

/// Longest datagram, in bytes. The kernel sends one event in each, of less than a hundred.
pub(super) const MAX_DATAGRAM_BYTES: usize = 8192;

/// What the kernel may queue for us, in bytes.
const QUEUE_BYTES: libc::c_int = 32 << 20;

/// A listening connector.
#[derive(Debug)]
pub(super) struct Connector(OwnedFd);

/// One event. Threads are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Forked { parent: u32, child: u32 },
    Exited { pid: u32, status: ExitStatus },
}

/// What receiving gave.
pub(super) enum Received {
    Events(Vec<Heard>),
    /// The queue is empty.
    Nothing,
    /// The kernel dropped events.
    Overflow,
}

impl Connector {
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: socket takes integers only.
        let raw = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                libc::NETLINK_CONNECTOR,
            )
        };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: socket has just made this descriptor; nobody else owns it.
        let connector = Self(unsafe { OwnedFd::from_raw_fd(raw) });
        connector.enlarge();
        // SAFETY: all zeroes is a value of this plain struct.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = CN_IDX_PROC;
        // SAFETY: the kernel reads as many bytes as `address` has.
        let bound = unsafe {
            libc::bind(
                raw,
                (&raw const address).cast(),
                size_of::<libc::sockaddr_nl>() as libc::socklen_t,
            )
        };
        if bound != 0 {
            return Err(io::Error::last_os_error());
        }
        connector.listen()?;
        Ok(connector)
    }

    /// A larger queue overflows later; without CAP_NET_ADMIN it stays as it is.
    fn enlarge(&self) {
        let bytes = QUEUE_BYTES;
        // SAFETY: the kernel reads as many bytes as `bytes` has.
        let set = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const bytes).cast(),
                size_of_val(&bytes) as libc::socklen_t,
            )
        };
        if set != 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "the connector's queue stays small");
        }
    }

    fn listen(&self) -> io::Result<()> {
        // Linux 6.6 takes a mask of events after the operation, an older one takes the operation alone.
        let masked = [PROC_CN_MCAST_LISTEN, PROC_EVENT_FORK | PROC_EVENT_EXIT];
        self.ask(&masked)?;
        match self.acknowledged()? {
            0 => Ok(()),
            _ => {
                self.ask(&masked[..1])?;
                match self.acknowledged()? {
                    0 => Ok(()),
                    errno => Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    fn ask(&self, words: &[u32]) -> io::Result<()> {
        let body = size_of_val(words);
        let total = NLMSG_HEADER_BYTES + CN_HEADER_BYTES + body;
        let mut message = Vec::with_capacity(total);
        message.extend((total as u32).to_ne_bytes());
        message.extend((libc::NLMSG_DONE as u16).to_ne_bytes());
        message.extend([0; 10]);
        message.extend(CN_IDX_PROC.to_ne_bytes());
        message.extend(CN_VAL_PROC.to_ne_bytes());
        message.extend([0; 8]);
        message.extend((body as u16).to_ne_bytes());
        message.extend([0; 2]);
        for word in words {
            message.extend(word.to_ne_bytes());
        }
        // SAFETY: the kernel reads `message.len()` bytes of `message`.
        let sent =
            unsafe { libc::send(self.0.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The kernel's answer to [`Connector::ask`]: an error number, or 0. It is queued before `send` returns.
    fn acknowledged(&self) -> io::Result<i32> {
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        loop {
            match self.datagram(&mut buffer) {
                Ok(length) => {
                    if let Some(errno) = acknowledgement(&buffer[..length]) {
                        return Ok(errno);
                    }
                }
                // An old kernel that did not take the message says nothing.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(libc::EPERM);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn datagram(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let length =
            unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        usize::try_from(length).map_err(|_| io::Error::last_os_error())
    }

    /// The next datagram's events; does not wait.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            match self.datagram(buffer) {
                Ok(length) => return Ok(Received::Events(parse(&buffer[..length]))),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN) => return Ok(Received::Nothing),
                    Some(libc::ENOBUFS) => return Ok(Received::Overflow),
                    _ => return Err(error),
                },
            }
        }
    }
}

impl AsFd for Connector {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

/// The event of one netlink message of the process connector, without its headers.
fn event(message: &[u8]) -> Option<&[u8]> {
    let connector = message.get(NLMSG_HEADER_BYTES..)?;
    if word(connector, 0)? != CN_IDX_PROC || word(connector, 4)? != CN_VAL_PROC {
        return None;
    }
    connector.get(CN_HEADER_BYTES..)
}

fn acknowledgement(message: &[u8]) -> Option<i32> {
    let event = event(message)?;
    // `what` is 0 for an acknowledgement, whose one field is the error.
    if word(event, 0)? != 0 {
        return None;
    }
    Some(i32::from_ne_bytes(word(event, EVENT_HEADER_BYTES)?.to_ne_bytes()).abs())
}

fn parse(datagram: &[u8]) -> Vec<Heard> {
    let mut heard = Vec::new();
    let mut rest = datagram;
    while let Some(length) = word(rest, 0) {
        let length = length as usize;
        let Some(message) = rest.get(..length).filter(|m| m.len() >= NLMSG_HEADER_BYTES) else {
            break;
        };
        heard.extend(event(message).and_then(one));
        // Messages begin at multiples of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    heard
}

fn one(event: &[u8]) -> Option<Heard> {
    let field = |n: usize| word(event, EVENT_HEADER_BYTES + 4 * n);
    match word(event, 0)? {
        PROC_EVENT_FORK => {
            let (parent, child_thread, child) = (field(1)?, field(2)?, field(3)?);
            (child_thread == child).then_some(Heard::Forked { parent, child })
        }
        PROC_EVENT_EXIT => {
            let (thread, pid, code) = (field(0)?, field(1)?, field(2)?);
            // As wait(2) gives it: the signal in the low seven bits, else the code in the second byte.
            let status = match code & 0x7f {
                0 => ExitStatus::Code((code >> 8 & 0xff) as u8),
                signal => ExitStatus::Signal(signal as u8),
            };
            (thread == pid).then_some(Heard::Exited { pid, status })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(words: &[u32]) -> Vec<u8> {
        let body: Vec<u8> = words.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let total = NLMSG_HEADER_BYTES + CN_HEADER_BYTES + body.len();
        let mut bytes = (total as u32).to_ne_bytes().to_vec();
        bytes.extend([0; 12]);
        bytes.extend(CN_IDX_PROC.to_ne_bytes());
        bytes.extend(CN_VAL_PROC.to_ne_bytes());
        bytes.extend([0; 12]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn forks_and_exits_are_heard_and_threads_are_not() {
        let fork = message(&[PROC_EVENT_FORK, 0, 0, 0, 10, 10, 11, 11]);
        let thread = message(&[PROC_EVENT_FORK, 0, 0, 0, 10, 10, 12, 10]);
        let exit = message(&[PROC_EVENT_EXIT, 0, 0, 0, 11, 11, 3 << 8, 17, 10, 10]);
        let killed = message(&[PROC_EVENT_EXIT, 0, 0, 0, 13, 13, 9, 17, 10, 10]);
        assert_eq!(
            parse(&[fork, thread, exit, killed].concat()),
            [
                Heard::Forked { parent: 10, child: 11 },
                Heard::Exited { pid: 11, status: ExitStatus::Code(3) },
                Heard::Exited { pid: 13, status: ExitStatus::Signal(9) },
            ]
        );
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = acknowledgement(&bytes);
        }

        #[test]
        fn damaged_messages_never_panic(at in 0usize..80, value: u8) {
            let mut bytes = message(&[PROC_EVENT_EXIT, 0, 0, 0, 11, 11, 3 << 8, 17, 10, 10]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            let _ = parse(&bytes);
        }
    }
}
