//! Requests to the proxy that mean the sandbox itself: they are passed on to its own listeners, and nothing leaves.
//!
//! Programs take the proxy for every host that `NO_PROXY` does not name as they understand it. Such a request is no attempt
//! to get out, so it is served as if the program had connected by itself.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use super::super::http::{Asked, BodyLength, Passed};
use super::super::sockaddr::stays_inside;

/// Most requests that are passed on at one time, of all connections that the relay serves.
const MAX_PASSED: usize = 48;

/// Longest that a connect to a listener of the sandbox may take: its queue may be full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often an idle passage looks whether the relay ends.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes that are passed on at once.
const BUFFER_BYTES: usize = 16 << 10;

/// The network of a sandbox, as the keeper uses it.
#[derive(Debug)]
pub struct OwnNetwork {
    namespace: File,
    /// The name that the sandbox has for itself.
    name: String,
    passed: AtomicUsize,
}

impl OwnNetwork {
    /// The network of process `pid`, which calls itself `name`.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of(pid: u32, name: &str) -> io::Result<Self> {
        let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
        Ok(Self { namespace, name: name.to_ascii_lowercase(), passed: AtomicUsize::new(0) })
    }

    /// The loopback addresses that `host` means; none if it means something outside.
    pub(super) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let loopback = || vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        if let Ok(address) = host.parse::<IpAddr>() {
            return match (stays_inside(SocketAddr::new(address, 0)), address.to_canonical()) {
                (false, _) => Vec::new(),
                (true, IpAddr::V4(ip)) if ip.is_unspecified() => vec![Ipv4Addr::LOCALHOST.into()],
                (true, IpAddr::V6(ip)) if ip.is_unspecified() => vec![Ipv6Addr::LOCALHOST.into()],
                (true, canonical) => vec![canonical],
            };
        }
        if self.is_own_name(host) { loopback() } else { Vec::new() }
    }

    /// Whether a name means the sandbox itself (RFC 6761, section 6.3, for `localhost`).
    pub(super) fn is_own_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        name == self.name
            || name == "localhost"
            || name.ends_with(".localhost")
            || matches!(name.as_str(), "ip6-localhost" | "ip6-loopback")
    }

    /// Connects to a listener of the sandbox. The calling thread stays in the sandbox's network.
    fn connect(&self, addresses: &[IpAddr], port: u16) -> io::Result<TcpStream> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
        let mut last = io::Error::from(ErrorKind::ConnectionRefused);
        for address in addresses {
            match TcpStream::connect_timeout(&SocketAddr::new(*address, port), CONNECT_TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Passes a request on and its answer back; returns when both are through. `request` is what was read of it: its head,
/// and possibly more.
pub(super) fn pass_on(
    own: &OwnNetwork,
    mut client: TcpStream,
    asked: &Asked,
    addresses: &[IpAddr],
    passed: Option<Passed>,
    rest: &[u8],
    stopping: &AtomicBool,
) -> io::Result<()> {
    if own.passed.fetch_add(1, Ordering::AcqRel) >= MAX_PASSED {
        own.passed.fetch_sub(1, Ordering::AcqRel);
        return client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    }
    let done = pass(own, client, asked, addresses, passed, rest, stopping);
    own.passed.fetch_sub(1, Ordering::AcqRel);
    done
}

fn pass(
    own: &OwnNetwork,
    mut client: TcpStream,
    asked: &Asked,
    addresses: &[IpAddr],
    passed: Option<Passed>,
    rest: &[u8],
    stopping: &AtomicBool,
) -> io::Result<()> {
    let mut server = match own.connect(addresses, asked.port) {
        Ok(server) => server,
        Err(error) => {
            let text = format!("Nothing answers at {}:{}: {error}\n", asked.host, asked.port);
            let length = text.len();
            return write!(
                client,
                "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
        }
    };
    let length = match passed {
        Some(Passed { head, body }) => {
            server.write_all(&head)?;
            body
        }
        None => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            BodyLength::UntilTheEnd
        }
    };
    let mut left = match length {
        BodyLength::Exactly(bytes) => bytes,
        BodyLength::UntilTheEnd => u64::MAX,
    };
    let first = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    server.write_all(&rest[..first])?;
    left -= first as u64;
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let answered = AtomicBool::new(false);
    let answered = &answered;
    std::thread::scope(|scope| {
        let back =
            std::thread::Builder::new().name("passed".into()).spawn_scoped(scope, move || {
                let done = pump(&mut server, &mut client, u64::MAX, stopping);
                answered.store(true, Ordering::Release);
                done
            })?;
        let ends = || stopping.load(Ordering::Acquire) || answered.load(Ordering::Acquire);
        let sent = pump_until(&mut from, &mut to, left, ends);
        if length == BodyLength::UntilTheEnd {
            // The other side sees the end of what is sent, and may still answer.
            let _closed = to.shutdown(Shutdown::Write);
        }
        let answer = back.join().unwrap_or_else(|_| Err(io::Error::other("a passage panicked")));
        sent.and(answer)
    })
}

fn pump(
    from: &mut TcpStream,
    to: &mut TcpStream,
    left: u64,
    stopping: &AtomicBool,
) -> io::Result<()> {
    let done = pump_until(from, to, left, || stopping.load(Ordering::Acquire));
    let _closed = to.shutdown(Shutdown::Write);
    done
}

/// Passes on at most `left` bytes, until the end or until `ends` says so.
fn pump_until(
    from: &mut TcpStream,
    to: &mut TcpStream,
    mut left: u64,
    ends: impl Fn() -> bool,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while left > 0 && !ends() {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match from.read(&mut buffer[..room]) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(&buffer[..read])?;
                left -= read as u64;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sandbox_itself_is_its_own() {
        let own = OwnNetwork::of(std::process::id(), "custody").unwrap();
        for host in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"] {
            assert_eq!(own.addresses(host).len(), 1, "{host}");
        }
        for host in ["localhost", "Custody", "app.localhost", "localhost."] {
            assert_eq!(own.addresses(host).len(), 2, "{host}");
        }
        for host in ["example.com", "10.0.0.1", "2001:db8::1", "custody.example", "notlocalhost"] {
            assert!(own.addresses(host).is_empty(), "{host}");
        }
    }
}
