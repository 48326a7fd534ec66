//! `server`: where the server listens, and whom it believes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use custody_policy::quantity::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::secret::{Environment, Secret, SecretError};
use super::section::{section, with_unit};
use super::url::{HttpUrl, address};

/// Longest path of a Unix socket, in bytes: Linux holds it in 108, with the NUL (unix(7)).
const SOCKET_PATH_BYTES: usize = 107;
/// Longest list of proxies.
const PROXIES: usize = 64;
/// Shortest token for metrics, in bytes: what can be guessed is no token.
const TOKEN_BYTES: usize = 16;

/// Where the server listens, and whom it believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port of the API; port 0 lets the system choose. Custody speaks plain HTTP: anything but a loopback
    /// address needs `allow_remote`.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Listen on an address that other machines can reach. Put a proxy that terminates TLS in front: without it
    /// tokens and records cross the network in the clear.
    pub allow_remote: bool,
    /// The Unix socket of the API, for this machine; at most 107 bytes. Default: `run/custody.sock` in the state
    /// directory.
    pub socket: PathBuf,
    /// The URL under which clients reach the server, if it is not the address that it listens on: https, or http to
    /// a loopback address.
    pub public_url: Option<HttpUrl>,
    /// How long requests that run may go on once the server is told to stop: 1s to 1h. Sessions outlive the server
    /// anyway.
    #[serde(serialize_with = "with_unit")]
    pub drain: Seconds,
    /// Addresses of proxies whose X-Forwarded-For is believed; at most 64.
    #[schemars(length(max = PROXIES))]
    pub trusted_proxies: Vec<IpAddr>,
    /// The bearer token that whoever reads /metrics has to show. Without it, metrics are there only over loopback
    /// and the Unix socket.
    pub metrics_token: Option<Secret>,
}

section!("server": Server {
    listen, allow_remote, socket, public_url, drain, trusted_proxies, metrics_token,
});

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 7070),
            allow_remote: false,
            socket: Self::socket_in(Path::new(super::state::DIRECTORY)),
            public_url: None,
            drain: Seconds(30),
            trusted_proxies: Vec::new(),
            metrics_token: None,
        }
    }
}

/// Why there is no token for metrics.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The secret is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It can't be sent as a bearer token (RFC 6750).
    #[error(
        "the secret {0} is no bearer token: at least {TOKEN_BYTES} of A-Z, a-z, 0-9, -, ., _, ~, + and / are wanted"
    )]
    Shape(String),
}

impl Server {
    /// The socket of an installation.
    pub(super) fn socket_in(state: &Path) -> PathBuf {
        state.join("run/custody.sock")
    }

    /// The token that is wanted for metrics, if one is.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn metrics_token(&self, environment: &Environment) -> Result<Option<String>, TokenError> {
        let Some(secret) = &self.metrics_token else { return Ok(None) };
        let token = secret.resolve(environment)?.expose().to_owned();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
        if token.len() < TOKEN_BYTES || !token.trim_end_matches('=').bytes().all(plain) {
            return Err(TokenError::Shape(secret.to_string()));
        }
        Ok(Some(token))
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        if !self.listen.ip().is_loopback() && !self.allow_remote {
            check.refuse(
                "server.listen",
                format!(
                    "other machines can reach {}, and Custody speaks plain HTTP: listen on a loopback address behind a \
                     proxy that terminates TLS, or set server.allow_remote: true if one stands in front of this address",
                    self.listen
                ),
            );
        }
        let length = self.socket.as_os_str().len();
        if !check.is_default("server.socket") {
            check.absolute("server.socket", &self.socket);
        }
        // Below a state directory with a long path the socket is reached by a shorter one.
        if !check.is_default("server.socket") && length > SOCKET_PATH_BYTES {
            check.refuse(
                "server.socket",
                format!(
                    "the path is {length} bytes long: a Unix socket's path has at most {SOCKET_PATH_BYTES}"
                ),
            );
        }
        check.duration("server.drain", self.drain, 1..=3_600);
        check.at_most("server.trusted_proxies", self.trusted_proxies.len(), PROXIES);
        if let Some(secret) = &self.metrics_token {
            secret.check("server.metrics_token", check);
        }
    }
}
