//! Investigations, and the control log.

use custody_api_types::Operation;
use custody_api_types::control::{ControlPage, ControlQuery};
use custody_api_types::investigation::{Answer, AskInvestigation};
use custody_record::control::ControlReport;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;

impl Client {
    /// Asks which sessions are behind a line or a commit.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn investigate(&self, asked: &AskInvestigation) -> Result<Answer, ClientError> {
        self.json(Call::new(Operation::Investigate, &[]).body(asked)?).await
    }

    /// A part of the control log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn control_events(&self, query: &ControlQuery) -> Result<ControlPage, ClientError> {
        self.json(Call::new(Operation::ControlEvents, &[]).query(query)?).await
    }

    /// The verdict of the server about its control log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn control_verify(&self) -> Result<ControlReport, ClientError> {
        self.json(Call::new(Operation::ControlVerify, &[])).await
    }
}
