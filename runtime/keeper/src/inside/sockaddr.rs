//! A socket address as a process gave it: `struct sockaddr` of any family, from foreign bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest address that the kernel takes (`struct sockaddr_storage`), in bytes.
pub(super) const MAX_ADDRESS_BYTES: usize = 128;

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `AF_UNSPEC`: undoes a connect.
    Unspecified,
    /// A Unix socket.
    Unix,
    /// The kernel.
    Netlink,
    /// An IP address and port.
    Internet(SocketAddr),
    /// Any other family.
    Other(u16),
    /// Too short for its family.
    Malformed,
}

/// Reads an address.
pub(super) fn parse(bytes: &[u8]) -> Address {
    let Some(&family) = bytes.first_chunk::<2>() else { return Address::Malformed };
    let port = || bytes.get(2..4).map(|p| u16::from_be_bytes([p[0], p[1]]));
    match i32::from(u16::from_ne_bytes(family)) {
        libc::AF_UNSPEC => Address::Unspecified,
        libc::AF_UNIX => Address::Unix,
        libc::AF_NETLINK => Address::Netlink,
        libc::AF_INET => {
            let ip = bytes.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok());
            // The kernel wants the whole of sockaddr_in.
            match (port(), ip) {
                (Some(port), Some(ip)) if bytes.len() >= 16 => {
                    Address::Internet((Ipv4Addr::from(ip), port).into())
                }
                _ => Address::Malformed,
            }
        }
        libc::AF_INET6 => {
            let ip = bytes.get(8..24).and_then(|b| <[u8; 16]>::try_from(b).ok());
            match (port(), ip) {
                (Some(port), Some(ip)) => Address::Internet((Ipv6Addr::from(ip), port).into()),
                _ => Address::Malformed,
            }
        }
        _ => Address::Other(u16::from_ne_bytes(family)),
    }
}

/// The address stays inside of the sandbox: loopback, or "any", which the kernel takes for loopback.
pub(super) fn stays_inside(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
    };
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4(ip: [u8; 4], port: u16) -> Vec<u8> {
        let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend(ip);
        bytes.extend([0; 8]);
        bytes
    }

    #[test]
    fn loopback_in_every_spelling_stays_inside() {
        for text in
            ["127.0.0.1:1", "127.9.9.9:1", "0.0.0.0:1", "[::1]:1", "[::]:1", "[::ffff:127.0.0.1]:1"]
        {
            assert!(stays_inside(text.parse().unwrap()), "{text}");
        }
        for text in ["203.0.113.5:80", "128.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
            assert!(!stays_inside(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_cut_short_is_malformed() {
        let whole = v4([203, 0, 113, 5], 80);
        assert_eq!(parse(&whole), Address::Internet("203.0.113.5:80".parse().unwrap()));
        for n in [0, 1, 2, 4, 8, 15] {
            assert_eq!(parse(&whole[..n]), Address::Malformed, "{n}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..140)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn every_address_is_read_as_it_was_written(ip: [u8; 4], port: u16) {
            prop_assert_eq!(parse(&v4(ip, port)), Address::Internet((ip, port).into()));
        }
    }
}
