//! Retention: what will be erased when, and the sweeper.

use custody_api_types::Operation;
use custody_api_types::retention::{RetentionQuery, Sweep, SweepRetention};
use custody_api_types::session::Session;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Sessions whose content has an end, or that are held.
    #[must_use]
    pub fn retention(&self, query: &RetentionQuery) -> Pages<Session> {
        let (client, query) = (self.clone(), query.clone());
        Pages::new(move |after| {
            let (client, mut query) = (client.clone(), query.clone());
            query.after = after;
            async move { client.json(Call::new(Operation::RetentionList, &[]).query(&query)?).await }
        })
    }

    /// Erases what is due.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sweep(&self, asked: &SweepRetention) -> Result<Sweep, ClientError> {
        self.json(Call::new(Operation::RetentionSweep, &[]).body(asked)?).await
    }
}
