//! The records of sessions.

use custody_api_types::Operation;
use custody_api_types::event::{EventPage, EventQuery};
use custody_api_types::evidence::EvidenceQuery;
use custody_api_types::file::{FilePage, SessionFile};
use custody_api_types::output::{BranchQuery, Outputs};
use custody_api_types::page::{Page, PageQuery};
use custody_investigate::Summary;
use custody_model::SessionId;
use custody_record::Report;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::client::Client;
use crate::download::Download;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// A session in one page.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn summary(&self, session: SessionId) -> Result<Summary, ClientError> {
        self.of(Operation::SessionSummary, session).await
    }

    /// A part of a session's events.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(
        &self,
        session: SessionId,
        query: &EventQuery,
    ) -> Result<EventPage, ClientError> {
        let session = session.to_string();
        self.json(Call::new(Operation::SessionEvents, &[&session]).query(query)?).await
    }

    /// The files that a session touched, by path.
    #[must_use]
    pub fn files(&self, session: SessionId) -> Pages<SessionFile> {
        let client = self.clone();
        Pages::new(move |after| {
            let client = client.clone();
            async move {
                let call = Call::new(Operation::SessionFiles, &[&session.to_string()]);
                let page: FilePage =
                    client.json(call.query(&PageQuery { limit: None, after })?).await?;
                Ok(Page { items: page.items, next: page.next })
            }
        })
    }

    /// What a session gave back.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outputs(&self, session: SessionId) -> Result<Outputs, ClientError> {
        self.of(Operation::SessionOutputs, session).await
    }

    /// The verdict of the server about the record of a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify(&self, session: SessionId) -> Result<Report, ClientError> {
        self.of(Operation::SessionVerify, session).await
    }

    /// What a session changed: a unified diff.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn diff(&self, session: SessionId) -> Result<Download, ClientError> {
        self.download(Operation::SessionDiff, session).await
    }

    /// The commits that a session made, in its repository or in a submodule of it: a git bundle, empty if nothing came out.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn branch(
        &self,
        session: SessionId,
        query: &BranchQuery,
    ) -> Result<Download, ClientError> {
        let call = Call::new(Operation::SessionBranch, &[&session.to_string()]).query(query)?;
        let response = self.send(&call, None).await?;
        Ok(Download::new(self.address().clone(), response))
    }

    /// The recording of a session's terminal: asciicast v3.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn terminal(&self, session: SessionId) -> Result<Download, ClientError> {
        self.download(Operation::SessionTerminal, session).await
    }

    /// The whole record of a session: a tar archive.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn record(&self, session: SessionId) -> Result<Download, ClientError> {
        self.download(Operation::SessionRecord, session).await
    }

    /// The record of a session in a format of others, by its name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export(&self, session: SessionId, format: &str) -> Result<Download, ClientError> {
        let call = Call::new(Operation::SessionExport, &[&session.to_string(), format]);
        let response = self.send(&call, None).await?;
        Ok(Download::new(self.address().clone(), response))
    }

    /// Evidence of a session: a tar archive.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn evidence(
        &self,
        session: SessionId,
        query: &EvidenceQuery,
    ) -> Result<Download, ClientError> {
        let session = session.to_string();
        let call = Call::new(Operation::SessionEvidence, &[&session]).query(query)?;
        let response = self.send(&call, None).await?;
        Ok(Download::new(self.address().clone(), response))
    }

    async fn of<T: DeserializeOwned>(
        &self,
        operation: Operation,
        session: SessionId,
    ) -> Result<T, ClientError> {
        self.json(Call::new(operation, &[&session.to_string()])).await
    }

    async fn download(
        &self,
        operation: Operation,
        session: SessionId,
    ) -> Result<Download, ClientError> {
        let response = self.send(&Call::new(operation, &[&session.to_string()]), None).await?;
        Ok(Download::new(self.address().clone(), response))
    }
}
