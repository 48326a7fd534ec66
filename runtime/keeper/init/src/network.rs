//! Loopback, and the sockets on it that the keeper serves from outside.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use custody_init::protocol::{Descriptor, Step};
use nix::errno::Errno;

use crate::failure::{Failure, Try};

/// Where resolvers ask.
const NAME_SERVER_PORT: u16 = 53;

/// The sockets, and how it went.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) sockets: Vec<(Descriptor, OwnedFd)>,
    pub(crate) protections: BTreeMap<String, String>,
}

/// Makes the sockets that are asked for. Without the proxy nothing starts: the command's environment names it.
pub(crate) fn listen(proxy: Option<u16>, names: bool) -> Result<Network, Failure> {
    let mut network = Network::default();
    let loopback = match raise_loopback() {
        Ok(()) => "up".to_owned(),
        Err(error) => format!("left as it was: {error}"),
    };
    network.protections.insert("loopback".into(), loopback);
    if let Some(port) = proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .or_fail(Step::Network, &format!("the proxy's socket at 127.0.0.1:{port}"))?;
        network.sockets.push((Descriptor::Proxy, listener.into()));
        network.protections.insert("proxy".into(), format!("127.0.0.1:{port}"));
    }
    if names {
        let told = match name_server() {
            Ok((udp, tcp)) => {
                network.sockets.push((Descriptor::NamesUdp, udp.into()));
                network.sockets.push((Descriptor::NamesTcp, tcp.into()));
                format!("127.0.0.1:{NAME_SERVER_PORT}")
            }
            Err(error) => format!("absent: {error}"),
        };
        network.protections.insert("name_server".into(), told);
    }
    Ok(network)
}

fn name_server() -> io::Result<(UdpSocket, TcpListener)> {
    let address = (Ipv4Addr::LOCALHOST, NAME_SERVER_PORT);
    Ok((UdpSocket::bind(address)?, TcpListener::bind(address)?))
}

/// A new network namespace has its loopback down. Drivers raise it; where they do not, and init may, it does.
fn raise_loopback() -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: all zeroes is a value of this plain struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: both ioctls want an ifreq that outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    Errno::result(done)?;
    // SAFETY: SIOCGIFFLAGS has filled in the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::IFF_UP as libc::c_short;
    if flags & up != 0 {
        return Ok(());
    }
    request.ifr_ifru.ifru_flags = flags | up;
    // SAFETY: as above.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(done)?;
    Ok(())
}
