//! The way to a server: which one, how it is reached, and what its errors mean for a command.

mod cache;
pub mod contexts;
mod failure;
mod target;

use std::future::Future;
use std::time::Duration;

use custody_api_client::{Client, ClientError, Credentials, Patience, ServerAddress};
use custody_api_types::session::Session;
use custody_keeper::socket_path::SocketPath;
use custody_model::ErrorCode;
use custody_model::state::session::SessionState;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::failure::{Explain, Failure};
use crate::server::embedded::Embedded;
use crate::wire::Wire;

pub use cache::is_service_token;
pub use failure::of as failure_of;
pub use target::Target;

/// Threads of the runtime: the command's own work is waited for in the main thread.
const THREADS: usize = 2;

/// How long a session may take to leave the line of a server that is about to end.
const BEGIN: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// A server, and the runtime that calls are made on. A server inside of this process ends with it.
pub struct Connection {
    client: Client,
    runtime: Runtime,
    target: Target,
    embedded: Option<Embedded>,
    /// Holds the directory open by which a socket with a long path is reached.
    _reach: Option<SocketPath>,
}

/// A runtime for calls.
pub fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .explain(ErrorCode::Io, "no threads can be made")
}

/// A client of the server at `address`.
pub fn client(address: ServerAddress, credentials: Credentials) -> Result<Client, Failure> {
    Client::new(address, credentials, Patience::default()).map_err(|e| failure_of(None, e))
}

impl Connection {
    /// To the server that the command line, the environment and the contexts name, or to one inside of this process.
    pub fn open(wire: &Wire) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let target = Target::choose(wire, &runtime)?;
        let mut reach = None;
        let (address, credentials, embedded) = match &target {
            Target::Remote { address, token, name } => {
                let name = name.as_deref().map(str::to_owned);
                let credentials = cache::credentials(wire, token.as_deref(), name)?;
                (address.clone(), credentials, None)
            }
            Target::Local { socket } => {
                let short = SocketPath::of(socket)
                    .explain(ErrorCode::Unavailable, "the server's socket can't be reached")?;
                let address = ServerAddress::Unix(short.path().to_owned());
                reach = Some(short);
                (address, Credentials::None, None)
            }
            Target::Embedded => {
                let embedded = runtime.block_on(Embedded::start(wire))?;
                let address = ServerAddress::Unix(embedded.socket().to_owned());
                (address, Credentials::None, Some(embedded))
            }
        };
        let client = client(address, credentials)?;
        Ok(Self { client, runtime, target, embedded, _reach: reach })
    }

    /// To call by.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Waits for a call.
    pub fn wait<T>(
        &self,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(call).map_err(|error| failure_of(Some(&self.target), error))
    }

    /// Waits for something that is more than a call.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A session as it is once it has left the line, if it does soon: a server inside of this process has to start it before
    /// it ends.
    pub fn begun(&self, session: Session) -> Result<Session, Failure> {
        if self.target != Target::Embedded {
            return Ok(session);
        }
        self.wait(async {
            let (id, mut session) = (session.id.to_string(), session);
            let deadline = Instant::now() + BEGIN;
            while waits_for_room(&session) && Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
                session = self.client.session(&id).await?;
            }
            Ok(session)
        })
    }

    /// What an error of a call means for a command.
    pub fn explain(&self, error: ClientError) -> Failure {
        failure_of(Some(&self.target), error)
    }
}

fn waits_for_room(session: &Session) -> bool {
    matches!(session.state, SessionState::Requested { .. } | SessionState::Queued { .. })
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(embedded) = self.embedded.take() {
            self.runtime.block_on(embedded.end());
        }
    }
}
