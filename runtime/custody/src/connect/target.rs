//! Which server a command speaks to.

use std::path::PathBuf;

use custody_api_client::ServerAddress;
use custody_keeper::socket_path::SocketPath;
use custody_model::ErrorCode;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use super::contexts::Contexts;
use crate::failure::{Explain, Failure};
use crate::wire::Wire;

/// Which server a command speaks to.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// One that was named: by --url, CUSTODY_URL or a login.
    Remote {
        /// Where it is.
        address: ServerAddress,
        /// What calls carry; nothing on a Unix socket.
        token: Option<String>,
        /// What it is called here, if this user has logged in to it.
        name: Option<String>,
    },
    /// The one that listens in the state directory of this machine.
    Local {
        /// Its socket.
        socket: PathBuf,
    },
    /// This process itself.
    Embedded,
}

impl Target {
    /// Named before current, current before local, and this process if there is no other.
    pub fn choose(wire: &Wire, runtime: &Runtime) -> Result<Self, Failure> {
        if let Some(url) = &wire.url {
            let address: ServerAddress = url.parse().explain(ErrorCode::Usage, "--url")?;
            let contexts = Contexts::read(&wire.environment)?;
            let known = contexts.by_address(&address);
            let token = wire.environment.token.clone();
            let token = token.or_else(|| known.map(|(_, server)| server.token.clone()));
            let name = known.map(|(name, _)| name.to_owned());
            if token.is_some() && !address.keeps_secrets() {
                tracing::warn!(%address, "the token is sent in the clear: whoever is on the way can take it");
            }
            return Ok(Self::Remote { address, token, name });
        }
        if !wire.state_was_named {
            let contexts = Contexts::read(&wire.environment)?;
            if let Some((name, server)) = contexts.current()? {
                let address =
                    server.url.parse().explain(ErrorCode::Invalid, format!("context {name}"))?;
                let token = Some(server.token.clone());
                return Ok(Self::Remote { address, token, name: Some(name.to_owned()) });
            }
        }
        let socket = wire.socket();
        // A file without a server is left over: whoever listens next replaces it.
        let listens = SocketPath::of(&socket)
            .is_ok_and(|reach| runtime.block_on(UnixStream::connect(reach.path())).is_ok());
        Ok(if listens { Self::Local { socket } } else { Self::Embedded })
    }

    /// Whether the server runs on this machine as whoever may do everything with its state directory.
    pub fn is_own(&self) -> bool {
        match self {
            Self::Local { .. } | Self::Embedded => true,
            Self::Remote { address: ServerAddress::Unix(_), token, .. } => token.is_none(),
            Self::Remote { address: ServerAddress::Http(_), .. } => false,
        }
    }

    /// Whether the server sees the files of this machine: paths mean the same to it.
    pub fn is_here(&self) -> bool {
        match self {
            Self::Local { .. } | Self::Embedded => true,
            Self::Remote { address, .. } => address.is_loopback(),
        }
    }
}
