//! The server itself, and who calls it.

use custody_api_types::Operation;
use custody_api_types::me::Me;
use custody_api_types::server::{Installation, Readiness, Version};

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// What the server is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.json(Call::new(Operation::Version, &[])).await
    }

    /// The installation and its verifier keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn installation(&self) -> Result<Installation, ClientError> {
        self.json(Call::new(Operation::InstallationGet, &[])).await
    }

    /// Whether the server can do its work.
    ///
    /// # Errors
    /// [`ClientError`]; a problem with the code `unavailable` if it can't.
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        self.json(Call::new(Operation::Readiness, &[])).await
    }

    /// Who calls, as the server sees it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn me(&self) -> Result<Me, ClientError> {
        self.json(Call::new(Operation::Me, &[])).await
    }
}
