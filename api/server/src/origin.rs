//! Where calls come from: the peer of the connection, and whom a trusted proxy says that it speaks for.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::http::HeaderMap;
use axum::serve::IncomingStream;
use custody_model::{Origin, RequestId, Transport, UserName};
use tokio::net::{TcpListener, UnixListener};

use crate::rate::Counted;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over the Unix socket, as the kernel names it (`SO_PEERCRED`).
    Unix {
        /// Its user id.
        uid: u32,
        /// Its process.
        pid: i32,
    },
}

/// The user id of a peer that the kernel does not name: that of `nobody`.
const NOBODY: u32 = 65_534;

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self::Tcp(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        match stream.io().peer_cred() {
            Ok(credentials) => {
                Self::Unix { uid: credentials.uid(), pid: credentials.pid().unwrap_or(0) }
            }
            Err(_) => Self::Unix { uid: NOBODY, pid: 0 },
        }
    }
}

/// Whose word is taken for where a call comes from, and who needs no token.
#[derive(Clone)]
pub struct Trust {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Arc<BTreeSet<IpAddr>>,
    /// The user id of the server itself. It and root are the local operator: everything on the machine is theirs anyway.
    pub own_uid: u32,
    /// The name of a local operator.
    pub operator: Arc<dyn Fn(u32) -> UserName + Send + Sync>,
    /// The calling program is also the server: it gets the whole cause of each failure, because there is no log with more.
    pub is_own_program: bool,
}

impl Trust {
    /// Where a call comes from.
    #[must_use]
    pub fn origin(&self, peer: Peer, headers: &HeaderMap, request: RequestId) -> Origin {
        match peer {
            Peer::Tcp(address) => {
                let address = match self.forwarded(address.ip(), headers) {
                    Some(client) => client.to_string(),
                    None => address.to_string(),
                };
                Origin { transport: Transport::Tcp, address, request }
            }
            Peer::Unix { uid, pid } => Origin {
                transport: Transport::Unix,
                address: format!("uid:{uid},pid:{pid}"),
                request,
            },
        }
    }

    /// The address of a client over TCP.
    #[must_use]
    pub fn client(&self, peer: Peer, headers: &HeaderMap) -> Option<IpAddr> {
        match peer {
            Peer::Tcp(address) => {
                Some(self.forwarded(address.ip(), headers).unwrap_or_else(|| address.ip()))
            }
            Peer::Unix { .. } => None,
        }
    }

    /// Whose calls are counted together while it is not known who calls.
    #[must_use]
    pub(crate) fn counted(&self, peer: Peer, headers: &HeaderMap) -> Counted {
        match peer {
            Peer::Unix { uid, .. } => Counted::Uid(uid),
            Peer::Tcp(address) => {
                Counted::Address(self.client(peer, headers).unwrap_or_else(|| address.ip()))
            }
        }
    }

    /// The name of the local operator, if the peer is one.
    #[must_use]
    pub fn operator(&self, peer: Peer) -> Option<UserName> {
        match peer {
            Peer::Unix { uid, .. } if uid == 0 || uid == self.own_uid => Some((self.operator)(uid)),
            Peer::Unix { .. } | Peer::Tcp(_) => None,
        }
    }

    /// From the right, the first address that is no trusted proxy's: what stands before it anybody can have written.
    fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.proxies.contains(&peer) {
            return None;
        }
        let mut found = None;
        let values: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for text in values.into_iter().rev() {
            let address: IpAddr = text.trim().parse().ok()?;
            found = Some(address);
            if !self.proxies.contains(&address) {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_speaks() {
        let proxies = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let trust = Trust {
            proxies: Arc::new(proxies.into()),
            own_uid: 7,
            operator: Arc::new(|uid| format!("uid-{uid}").parse().unwrap()),
            is_own_program: false,
        };
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2".parse().unwrap());
        let tcp = |text: &str| Peer::Tcp(text.parse().unwrap());
        let client = |peer| trust.client(peer, &headers).unwrap().to_string();
        assert_eq!(client(tcp("10.0.0.1:99")), "203.0.113.9");
        assert_eq!(client(tcp("192.0.2.5:99")), "192.0.2.5");
        assert_eq!(trust.client(Peer::Unix { uid: 0, pid: 1 }, &headers), None);
        assert_eq!(trust.operator(Peer::Unix { uid: 7, pid: 1 }).unwrap().as_str(), "uid-7");
        assert_eq!(trust.operator(Peer::Unix { uid: 8, pid: 1 }), None);
        assert_eq!(trust.operator(tcp("127.0.0.1:1")), None);
    }
}
