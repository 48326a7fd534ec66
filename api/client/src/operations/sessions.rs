//! Sessions: asked for, listed, decided about, stopped.

use custody_api_types::Operation;
use custody_api_types::session::{
    ApproveSession, CreateSession, EraseSession, HoldSession, RejectSession, ReleaseSession,
    Session, SessionQuery, SignalSession, StopSession,
};
use custody_model::SessionId;
use serde::Serialize;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Asks for a session. `key` names the request: again with the same name it is the same session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_session(
        &self,
        key: &str,
        asked: &CreateSession,
    ) -> Result<Session, ClientError> {
        self.json(Call::new(Operation::SessionCreate, &[]).body(asked)?.key(Some(key))).await
    }

    /// Sessions that the caller may see.
    #[must_use]
    pub fn sessions(&self, query: &SessionQuery) -> Pages<Session> {
        let (client, query) = (self.clone(), query.clone());
        Pages::new(move |after| {
            let (client, mut query) = (client.clone(), query.clone());
            query.after = after;
            async move { client.json(Call::new(Operation::SessionList, &[]).query(&query)?).await }
        })
    }

    /// One session, by its id, the beginning of it, or `last`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session(&self, session: &str) -> Result<Session, ClientError> {
        self.json(Call::new(Operation::SessionGet, &[session])).await
    }

    /// Approves a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approve(&self, session: SessionId, comment: &str) -> Result<Session, ClientError> {
        let said = ApproveSession { comment: comment.to_owned() };
        self.decide(Operation::SessionApprove, session, &said).await
    }

    /// Rejects a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reject(&self, session: SessionId, reason: &str) -> Result<Session, ClientError> {
        let said = RejectSession { reason: reason.to_owned() };
        self.decide(Operation::SessionReject, session, &said).await
    }

    /// Erases the content of a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn erase(&self, session: SessionId, reason: &str) -> Result<Session, ClientError> {
        let said = EraseSession { reason: reason.to_owned() };
        self.decide(Operation::SessionErase, session, &said).await
    }

    /// Holds a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hold(&self, session: SessionId, reason: &str) -> Result<Session, ClientError> {
        let said = HoldSession { reason: reason.to_owned() };
        self.decide(Operation::SessionHold, session, &said).await
    }

    /// Releases a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn release(&self, session: SessionId, reason: &str) -> Result<Session, ClientError> {
        let said = ReleaseSession { reason: reason.to_owned() };
        self.decide(Operation::SessionRelease, session, &said).await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop(&self, session: SessionId, reason: &str) -> Result<Session, ClientError> {
        let said = StopSession { reason: reason.to_owned() };
        self.decide(Operation::SessionStop, session, &said).await
    }

    /// Sends a signal, by its Linux number, to a session's command.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn signal(&self, session: SessionId, signal: i32) -> Result<Session, ClientError> {
        self.decide(Operation::SessionSignal, session, &SignalSession { signal }).await
    }

    async fn decide(
        &self,
        operation: Operation,
        session: SessionId,
        said: &(impl Serialize + Sync),
    ) -> Result<Session, ClientError> {
        self.json(Call::new(operation, &[&session.to_string()]).body(said)?).await
    }
}
