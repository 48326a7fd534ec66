//! What a process may reach: loopback, Unix sockets and the kernel. Every other address is recorded and refused.
//!
//! A `connect` to loopback is made here, on a duplicate of the caller's socket and with the address that was read, so
//! that nothing can put another one in its place. A send to loopback, and everything on Unix and netlink addresses,
//! is left to the kernel: a thread that rewrites the address in that moment still can't get out, because the
//! sandbox's network has nothing but loopback. All it gains is that this attempt, which fails, is not on record.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use custody_model::Timestamp;
use custody_record::event::{EgressDenied, EgressVia, Transport};
use nix::errno::Errno;

use super::connecting::{self, Connected};
use super::memory::{Memory, MemoryError, Who};
use super::notices::NoticeSink;
use super::owners::PortOwners;
use super::seccomp::{Connect, Notification, Reply, SeccompListener, Send};
use super::sockaddr::{Address, MAX_ADDRESS_BYTES, parse, stays_inside};

/// Most messages of one `sendmmsg` (`UIO_MAXIOV`); the kernel sends no more.
const MAX_MESSAGES: u32 = 1024;

/// Bytes of `struct msghdr` that name an address, and of `struct mmsghdr`.
const MSGHDR_NAME_BYTES: usize = 12;
const MMSGHDR_BYTES: u64 = size_of::<libc::mmsghdr>() as u64;

/// Linux 6.9: a pidfd of a thread. Absent from libc 0.2.
const PIDFD_THREAD: libc::c_uint = libc::O_EXCL as libc::c_uint;

pub(super) struct Network {
    listener: Arc<SeccompListener>,
    sink: Arc<dyn NoticeSink>,
    owners: Arc<PortOwners>,
    waiting: Arc<AtomicUsize>,
    max_waiting: usize,
}

impl Network {
    pub(super) fn new(
        listener: Arc<SeccompListener>,
        sink: Arc<dyn NoticeSink>,
        owners: Arc<PortOwners>,
        max_waiting: usize,
    ) -> Self {
        Self { listener, sink, owners, waiting: Arc::default(), max_waiting }
    }

    /// The answer to a connect; `None` when a thread of its own answers.
    pub(super) fn connect(
        &self,
        time: Timestamp,
        notification: &Notification,
        connect: Connect,
    ) -> Option<Reply> {
        match self.try_connect(time, notification, connect) {
            Ok(reply) => reply,
            Err(error) => Some(error.reply(&*self.sink, "a connect")),
        }
    }

    fn try_connect(
        &self,
        time: Timestamp,
        notification: &Notification,
        connect: Connect,
    ) -> Result<Option<Reply>, MemoryError> {
        let length = connect.length as usize;
        if length > MAX_ADDRESS_BYTES {
            return Ok(Some(Reply::Errno(Errno::EINVAL)));
        }
        let mut bytes = vec![0; length];
        Memory::open(notification.tid)?.bytes(connect.address, &mut bytes)?;
        let address = parse(&bytes);
        if matches!(address, Address::Unix | Address::Netlink) {
            return Ok(Some(Reply::Continue));
        }
        let who = Who::of(notification.tid)?;
        let socket = match duplicate(notification.tid, who.pid, connect.fd) {
            Ok(socket) => socket,
            Err(Errno::ESRCH) => return Err(MemoryError::Gone),
            Err(errno) => return Ok(Some(Reply::Errno(errno))),
        };
        if !self.listener.alive(notification.id) {
            return Err(MemoryError::Gone);
        }
        let transport = transport(&socket);
        match address {
            Address::Internet(to) if stays_inside(to) => {}
            Address::Unspecified => {}
            Address::Unix | Address::Netlink => return Ok(Some(Reply::Continue)),
            Address::Internet(_) | Address::Other(_) => {
                return Ok(Some(self.refuse(time, &who, address, transport, EgressVia::Connect)));
            }
            Address::Malformed => return Ok(Some(Reply::Errno(Errno::EINVAL))),
        }
        let job = Job {
            id: notification.id,
            tid: notification.tid,
            pid: who.pid,
            socket,
            transport,
            bytes,
            owners: Arc::clone(&self.owners),
        };
        if transport != Transport::Tcp || !blocks(&job.socket) {
            return Ok(Some(job.run()));
        }
        Ok(self.on_a_thread(job))
    }

    fn on_a_thread(&self, job: Job) -> Option<Reply> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= self.max_waiting {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Some(Reply::Errno(Errno::EAGAIN));
        }
        let listener = Arc::clone(&self.listener);
        let waiting = Arc::clone(&self.waiting);
        let started = std::thread::Builder::new().name("connect".into()).spawn(move || {
            let reply = job.run_blocking();
            waiting.fetch_sub(1, Ordering::AcqRel);
            if let Err(error) = listener.reply(job.id, reply) {
                tracing::error!(%error, "answering a connect failed");
            }
        });
        match started {
            Ok(_) => None,
            Err(error) => {
                self.waiting.fetch_sub(1, Ordering::AcqRel);
                tracing::error!(%error, "no thread for a connect");
                Some(Reply::Errno(Errno::EAGAIN))
            }
        }
    }

    /// The answer to a send with an address, or with what may hold one.
    pub(super) fn send(&self, time: Timestamp, notification: &Notification, send: Send) -> Reply {
        match self.try_send(time, notification, send) {
            Ok(reply) => reply,
            Err(error) => error.reply(&*self.sink, "a send"),
        }
    }

    fn try_send(
        &self,
        time: Timestamp,
        notification: &Notification,
        send: Send,
    ) -> Result<Reply, MemoryError> {
        let mut memory = Memory::open(notification.tid)?;
        let (fd, flags, names) = match send {
            Send::To { fd, address, length, flags } => (fd, flags, vec![(address, length)]),
            Send::Message { fd, header, flags } => (fd, flags, vec![name(&mut memory, header)?]),
            Send::Messages { fd, headers, count, flags } => {
                let mut names = Vec::new();
                for i in 0..u64::from(count.min(MAX_MESSAGES)) {
                    let at = headers.checked_add(i * MMSGHDR_BYTES).ok_or(MemoryError::Fault)?;
                    names.push(name(&mut memory, at)?);
                }
                (fd, flags, names)
            }
        };
        let mut outside = Vec::new();
        for (address, length) in names {
            if address == 0 || length == 0 {
                continue;
            }
            let length = length as usize;
            if length > MAX_ADDRESS_BYTES {
                return Ok(Reply::Errno(Errno::EINVAL));
            }
            let mut bytes = vec![0; length];
            memory.bytes(address, &mut bytes)?;
            match parse(&bytes) {
                Address::Internet(to) if stays_inside(to) => {
                    if flags & libc::MSG_FASTOPEN != 0 {
                        // It is a connect too; callers fall back to a plain one.
                        return Ok(Reply::Errno(Errno::EOPNOTSUPP));
                    }
                }
                Address::Unspecified | Address::Unix | Address::Netlink => {}
                Address::Malformed => return Ok(Reply::Errno(Errno::EINVAL)),
                address @ (Address::Internet(_) | Address::Other(_)) => {
                    if !outside.contains(&address) {
                        outside.push(address);
                    }
                }
            }
        }
        if outside.is_empty() {
            return Ok(Reply::Continue);
        }
        let who = Who::of(notification.tid)?;
        let socket = duplicate(notification.tid, who.pid, fd);
        if !self.listener.alive(notification.id) {
            return Err(MemoryError::Gone);
        }
        let transport = match socket {
            Ok(socket) => transport(&socket),
            Err(errno) => return Ok(Reply::Errno(errno)),
        };
        let mut reply = Reply::Errno(Errno::ENETUNREACH);
        for address in outside {
            reply = self.refuse(time, &who, address, transport, EgressVia::Send);
        }
        Ok(reply)
    }

    fn refuse(
        &self,
        time: Timestamp,
        who: &Who,
        address: Address,
        transport: Transport,
        via: EgressVia,
    ) -> Reply {
        let (address, port, errno, reason) = match address {
            Address::Internet(to) => (
                Some(canonical(to)),
                Some(to.port()),
                Errno::ENETUNREACH,
                "the sandbox has no network".to_owned(),
            ),
            Address::Other(family) => (
                None,
                None,
                Errno::EAFNOSUPPORT,
                format!("addresses of family {family} are not allowed"),
            ),
            Address::Unspecified | Address::Unix | Address::Netlink | Address::Malformed => {
                return Reply::Errno(Errno::EINVAL);
            }
        };
        let denied =
            EgressDenied { host: None, address, port, transport, via, request: None, reason };
        match self.sink.refused(time, Some(who.pid), denied) {
            Ok(()) => Reply::Errno(errno),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "not recorded");
                Reply::Errno(Errno::EIO)
            }
        }
    }
}

/// One connect to loopback, on the caller's behalf.
struct Job {
    id: u64,
    tid: u32,
    pid: u32,
    socket: OwnedFd,
    transport: Transport,
    bytes: Vec<u8>,
    owners: Arc<PortOwners>,
}

impl Job {
    /// A connect that does not block.
    fn run(&self) -> Reply {
        self.answer(connecting::once(&self.socket, &self.bytes))
    }

    /// One that may block, on a thread of its own.
    fn run_blocking(&self) -> Reply {
        match connecting::connect(&self.socket, &self.bytes, self.tid, self.pid) {
            Connected::Ended(result) => self.answer(result),
            Connected::Signalled => {
                self.own();
                Reply::Signalled
            }
            // Nobody takes the answer.
            Connected::Gone => Reply::Errno(Errno::ECONNABORTED),
        }
    }

    fn answer(&self, result: Result<(), Errno>) -> Reply {
        let reply = result.map_or_else(Reply::Errno, |()| Reply::Done);
        if matches!(reply, Reply::Done | Reply::Errno(Errno::EINPROGRESS | Errno::EINTR)) {
            self.own();
        }
        reply
    }

    /// Before the answer: what the process sends afterwards finds its owner.
    fn own(&self) {
        if let Ok(local) = local_address(&self.socket) {
            self.owners.set(self.transport, local.port(), self.pid);
        }
    }
}

/// An IPv4 address in IPv6's clothes is the IPv4 address.
fn canonical(address: SocketAddr) -> String {
    address.ip().to_canonical().to_string()
}

/// Pointer to and length of the address in a `struct msghdr`.
fn name(memory: &mut Memory, header: u64) -> Result<(u64, u32), MemoryError> {
    let mut bytes = [0; MSGHDR_NAME_BYTES];
    memory.bytes(header, &mut bytes)?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    Ok((u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u32::from_ne_bytes([i, j, k, l])))
}

/// A duplicate of descriptor `fd` of a thread, whose descriptors are mostly those of its process.
fn duplicate(tid: u32, pid: u32, fd: i32) -> Result<OwnedFd, Errno> {
    // Linux 6.9: a pidfd of a thread; before that only of a process.
    let pidfd = match pidfd_open(tid, PIDFD_THREAD) {
        Ok(pidfd) => pidfd,
        Err(Errno::EINVAL) => pidfd_open(pid, 0)?,
        Err(errno) => return Err(errno),
    };
    // SAFETY: pidfd_getfd takes integers only.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    own(raw)
}

fn pidfd_open(pid: u32, flags: libc::c_uint) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open takes integers only.
    own(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
}

fn own(raw: libc::c_long) -> Result<OwnedFd, Errno> {
    match i32::try_from(raw) {
        // SAFETY: the kernel has just made this descriptor; nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        Ok(_) | Err(_) => Err(Errno::last()),
    }
}

fn transport(socket: &OwnedFd) -> Transport {
    match (option(socket, libc::SO_TYPE), option(socket, libc::SO_PROTOCOL)) {
        (Ok(_), Ok(libc::IPPROTO_TCP)) => Transport::Tcp,
        (Ok(_), Ok(libc::IPPROTO_UDP)) => Transport::Udp,
        _ => Transport::Other,
    }
}

fn option(socket: &OwnedFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: value and length outlive the call, and length is that of value.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

fn blocks(socket: &OwnedFd) -> bool {
    nix::fcntl::fcntl(socket, nix::fcntl::FcntlArg::F_GETFL)
        .is_ok_and(|flags| flags & libc::O_NONBLOCK == 0)
}

fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    // Any kind of socket: only its name is asked for.
    UdpSocket::from(socket.try_clone()?).local_addr()
}
