//! Serves, from outside, the HTTP proxy and the name server that processes inside find on loopback.
//!
//! The sockets are of the sandbox's network, the threads are of the keeper. Everything is refused at once, so that no
//! agent waits for a time-out: the proxy answers 403, the name server says that there is no such name.

mod own;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use custody_model::{Clock, Timestamp};
use custody_record::SinkError;
use custody_record::event::{EgressDenied, EgressVia, GapCode, Transport};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::dns::{self, MAX_MESSAGE_BYTES};
use super::http::{self, MAX_REQUEST_LINE_BYTES};
use super::notices::NoticeSink;
use super::owners::PortOwners;

pub use own::OwnNetwork;

/// Longest head of a request to the sandbox itself, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The sockets that the relay serves: those of [`super::Ready`] that are there.
#[derive(Debug, Default)]
pub struct RelaySockets {
    /// Of the proxy.
    pub proxy: Option<OwnedFd>,
    /// Of the name server, for datagrams.
    pub names_udp: Option<OwnedFd>,
    /// Of the name server, for streams.
    pub names_tcp: Option<OwnedFd>,
}

/// How much the relay serves at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// From the connection to its whole request.
    pub patience: Duration,
}

impl RelayLimits {
    /// Most connections by default.
    pub const MAX_CONNECTIONS: usize = 64;
    /// Patience by default.
    pub const MAX_PATIENCE: Duration = Duration::from_secs(5);
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self { connections: Self::MAX_CONNECTIONS, patience: Self::MAX_PATIENCE }
    }
}

/// The threads that serve a sandbox's proxy and name server.
#[derive(Debug)]
pub struct Relay {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    sink: Arc<dyn NoticeSink>,
    clock: Arc<dyn Clock>,
    owners: Arc<PortOwners>,
    own: Option<OwnNetwork>,
    /// Ports at which the relay itself listens.
    ports: Vec<u16>,
    limits: RelayLimits,
    stop: EventFd,
    stopping: AtomicBool,
    connections: Mutex<usize>,
    fewer: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Service {
    Proxy,
    Names,
}

impl Relay {
    /// Serves `sockets`. Requests to the sandbox itself are passed on into `own`; without it they are refused as all others
    /// are.
    ///
    /// # Errors
    /// A thread can't be made, or a socket is none.
    pub fn start(
        sockets: RelaySockets,
        own: Option<OwnNetwork>,
        sink: Arc<dyn NoticeSink>,
        clock: Arc<dyn Clock>,
        owners: Arc<PortOwners>,
        limits: RelayLimits,
    ) -> io::Result<Self> {
        let RelaySockets { proxy, names_udp, names_tcp } = sockets;
        let port = |listener: &OwnedFd| -> io::Result<u16> {
            Ok(TcpListener::from(listener.try_clone()?).local_addr()?.port())
        };
        let listeners = [proxy.as_ref(), names_tcp.as_ref()];
        let ports = listeners.into_iter().flatten().map(port).collect::<io::Result<_>>()?;
        let shared = Arc::new(Shared {
            sink,
            clock,
            owners,
            own,
            ports,
            limits,
            stop: EventFd::new()?,
            stopping: AtomicBool::new(false),
            connections: Mutex::new(0),
            fewer: Condvar::new(),
        });
        let mut relay = Self { threads: Vec::new(), shared };
        for (listener, service) in [(proxy, Service::Proxy), (names_tcp, Service::Names)] {
            if let Some(listener) = listener {
                let listener = TcpListener::from(listener);
                listener.set_nonblocking(true)?;
                relay.spawn("relay", move |shared| accept(shared, &listener, service))?;
            }
        }
        if let Some(socket) = names_udp {
            let socket = UdpSocket::from(socket);
            socket.set_nonblocking(true)?;
            relay.spawn("names", move |shared| names(shared, &socket))?;
        }
        Ok(relay)
    }

    fn spawn(
        &mut self,
        name: &str,
        serve: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || serve(&shared))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Answers what has come so far, and stops. Connections that have not asked yet are closed.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        if let Err(errno) = self.shared.stop.write(1) {
            tracing::error!(%errno, "the relay can't be stopped");
            return;
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the relay panicked");
            }
        }
        let none = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        // Each has its own deadline, so this ends.
        drop(
            self.shared.fewer.wait_while(none, |n| *n > 0).unwrap_or_else(PoisonError::into_inner),
        );
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    /// Waits for `fd`; false when the relay ends and nothing is left to read.
    fn wait(&self, fd: BorrowedFd<'_>) -> bool {
        loop {
            let mut ready = [
                PollFd::new(fd, PollFlags::POLLIN),
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.sink.gap(GapCode::RelayFailed, format!("the relay stopped: {errno}"));
                    return false;
                }
                Ok(_) => return ready[0].revents().is_some_and(|r| !r.is_empty()),
            }
        }
    }

    fn refused(
        &self,
        pid: Option<u32>,
        time: Timestamp,
        denied: EgressDenied,
    ) -> Result<(), SinkError> {
        self.sink.refused(time, pid, denied)
    }

    fn one_less(&self) {
        let mut n = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        *n -= 1;
        drop(n);
        self.fewer.notify_all();
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, service: Service) {
    while shared.wait(listener.as_fd()) {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if is_passing(&error) => continue,
            Err(error) => {
                shared.sink.gap(
                    GapCode::RelayFailed,
                    format!("the relay accepts no more connections: {error}"),
                );
                return;
            }
        };
        let mut n = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        n = shared
            .fewer
            .wait_while(n, |n| *n >= shared.limits.connections)
            .unwrap_or_else(PoisonError::into_inner);
        *n += 1;
        drop(n);
        let time = shared.clock.now();
        let for_thread = Arc::clone(shared);
        let started = std::thread::Builder::new().name("relayed".into()).spawn(move || {
            let outcome = match service {
                Service::Proxy => refuse_request(&for_thread, stream, time, peer.port()),
                Service::Names => answer_stream(&for_thread, stream, time, peer.port()),
            };
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection to the relay ended early");
            }
            for_thread.one_less();
        });
        if let Err(error) = started {
            shared.one_less();
            shared.sink.gap(
                GapCode::RelayFailed,
                format!("a connection to the relay got no thread: {error}"),
            );
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
    )
}

/// Reads until `enough` says so; what was read until the end, the deadline or `max` otherwise.
fn read_some(
    stream: &mut TcpStream,
    max: usize,
    shared: &Shared,
    enough: impl Fn(&[u8]) -> bool,
) -> io::Result<Vec<u8>> {
    /// How often a connection that has not asked yet looks whether the relay ends.
    const LOOK: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + shared.limits.patience;
    stream.set_nonblocking(false)?;
    let mut bytes = vec![0; max];
    let mut length = 0;
    while length < max && !enough(&bytes[..length]) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || shared.stopping.load(Ordering::Acquire) {
            break;
        }
        stream.set_read_timeout(Some(left.min(LOOK)))?;
        match stream.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn refuse_request(
    shared: &Shared,
    mut stream: TcpStream,
    time: Timestamp,
    port: u16,
) -> io::Result<()> {
    stream.set_write_timeout(Some(shared.limits.patience))?;
    let head = read_some(&mut stream, MAX_REQUEST_LINE_BYTES, shared, |b| b.contains(&b'\n'))?;
    if head.is_empty() {
        return Ok(());
    }
    // Only now: a connection can be accepted before its connect is answered, but not speak before that.
    let pid = shared.owners.get(Transport::Tcp, port);
    let asked = http::parse(&head);
    if let (Some(own), Some(asked)) = (&shared.own, &asked)
        // A request to the relay itself, by a detour, is one that nobody could be named for.
        && !shared.ports.contains(&asked.port)
    {
        let addresses = own.addresses(&asked.host);
        if !addresses.is_empty() {
            return pass_on(shared, own, stream, head, asked, &addresses);
        }
    }
    let (status, told, denied) = match asked {
        Some(asked) => {
            let told =
                format!("The policy of this session refuses {}:{}.\n", asked.host, asked.port);
            let denied = EgressDenied {
                host: Some(asked.host),
                address: None,
                port: Some(asked.port),
                transport: Transport::Tcp,
                via: EgressVia::Proxy,
                request: asked.request,
                reason: "the sandbox has no network".into(),
            };
            ("403 Forbidden", told, denied)
        }
        None => {
            let denied = EgressDenied {
                host: None,
                address: None,
                port: None,
                transport: Transport::Tcp,
                via: EgressVia::Proxy,
                request: None,
                reason: "what the proxy was sent is no request to a proxy".into(),
            };
            ("400 Bad Request", "This is a proxy that refuses everything.\n".to_owned(), denied)
        }
    };
    // Recorded before it is answered; a record that can't be written ends in silence, not in an answer.
    shared.refused(pid, time, denied).map_err(io::Error::other)?;
    let length = told.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{told}"
    )?;
    stream.shutdown(Shutdown::Write)?;
    // A close with unread bytes would be a reset, and the answer might be lost with it.
    let mut rest = [0; MAX_REQUEST_LINE_BYTES];
    let end = Instant::now() + shared.limits.patience;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    while Instant::now() < end {
        match stream.read(&mut rest) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Passes a request to the sandbox itself on to its own listener.
fn pass_on(
    shared: &Shared,
    own: &OwnNetwork,
    mut stream: TcpStream,
    mut bytes: Vec<u8>,
    asked: &http::Asked,
    addresses: &[IpAddr],
) -> io::Result<()> {
    if http::head_length(&bytes).is_none() {
        let room = MAX_HEAD_BYTES.saturating_sub(bytes.len());
        let so_far = bytes.clone();
        let whole = |more: &[u8]| http::head_length(&[&so_far[..], more].concat()).is_some();
        bytes.extend(read_some(&mut stream, room, shared, whole)?);
    }
    let Some(length) = http::head_length(&bytes) else {
        return stream.write_all(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n",
        );
    };
    let (head, rest) = bytes.split_at(length);
    let passed = match asked.request {
        // CONNECT: what follows is not looked at.
        None => None,
        Some(_) => match http::pass(head) {
            Some(passed) => Some(passed),
            None => {
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }
        },
    };
    own::pass_on(own, stream, asked, addresses, passed, rest, &shared.stopping)
}

/// The answer to a question that is about the sandbox itself, which is no attempt to reach something outside.
fn own_answer(shared: &Shared, question: &dns::Question) -> Option<Vec<u8>> {
    let own = shared.own.as_ref()?;
    if own.is_own_name(&question.name) {
        return Some(question.answer_loopback());
    }
    question.asks_for_own_address().then(|| question.answer())
}

fn asked_name(
    shared: &Shared,
    question: &dns::Question,
    time: Timestamp,
    pid: Option<u32>,
    transport: Transport,
) -> Result<(), SinkError> {
    shared.refused(
        pid,
        time,
        EgressDenied {
            host: Some(question.name.clone()),
            address: None,
            port: None,
            transport,
            via: EgressVia::Dns,
            request: None,
            reason: "the sandbox has no network".into(),
        },
    )
}

fn names(shared: &Arc<Shared>, socket: &UdpSocket) {
    let mut bytes = [0; MAX_MESSAGE_BYTES];
    while shared.wait(socket.as_fd()) {
        let (length, from) = match socket.recv_from(&mut bytes) {
            Ok(received) => received,
            Err(error) if is_passing(&error) || error.kind() == ErrorKind::ConnectionRefused => {
                continue;
            }
            Err(error) => {
                shared
                    .sink
                    .gap(GapCode::NameServerFailed, format!("the name server stopped: {error}"));
                return;
            }
        };
        let time = shared.clock.now();
        let Some(question) = dns::parse(&bytes[..length]) else { continue };
        let pid = shared.owners.get(Transport::Udp, from.port());
        let answer = match own_answer(shared, &question) {
            Some(answer) => answer,
            None if asked_name(shared, &question, time, pid, Transport::Udp).is_ok() => {
                question.answer()
            }
            None => continue,
        };
        if let Err(error) = socket.send_to(&answer, from) {
            tracing::debug!(%error, "a name server's answer was lost");
        }
    }
}

fn answer_stream(
    shared: &Shared,
    mut stream: TcpStream,
    time: Timestamp,
    port: u16,
) -> io::Result<()> {
    stream.set_write_timeout(Some(shared.limits.patience))?;
    let whole = |b: &[u8]| {
        b.first_chunk::<2>().is_some_and(|n| b.len() >= 2 + usize::from(u16::from_be_bytes(*n)))
    };
    let bytes = read_some(&mut stream, 2 + MAX_MESSAGE_BYTES, shared, whole)?;
    if !whole(&bytes) {
        return Ok(());
    }
    let end = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let Some(question) = dns::parse(&bytes[2..end]) else { return Ok(()) };
    let pid = shared.owners.get(Transport::Tcp, port);
    let answer = match own_answer(shared, &question) {
        Some(answer) => answer,
        None => {
            asked_name(shared, &question, time, pid, Transport::Tcp).map_err(io::Error::other)?;
            question.answer()
        }
    };
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())
}
