//! Repositories, and the images that sessions run in.

use custody_api_types::Operation;
use custody_api_types::image::Image;
use custody_api_types::page::PageQuery;
use custody_api_types::repository::{RegisterRepository, Repository, RepositoryQuery};

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Mirrors a repository.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn register_repository(
        &self,
        asked: &RegisterRepository,
    ) -> Result<Repository, ClientError> {
        self.json(Call::new(Operation::RepositoryRegister, &[]).body(asked)?).await
    }

    /// Repositories that the caller may use.
    #[must_use]
    pub fn repositories(&self, query: &RepositoryQuery) -> Pages<Repository> {
        let (client, query) = (self.clone(), query.clone());
        Pages::new(move |after| {
            let (client, mut query) = (client.clone(), query.clone());
            query.after = after;
            async move { client.json(Call::new(Operation::RepositoryList, &[]).query(&query)?).await }
        })
    }

    /// One repository.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn repository(&self, name: &str) -> Result<Repository, ClientError> {
        self.json(Call::new(Operation::RepositoryGet, &[name])).await
    }

    /// What sessions can run in.
    #[must_use]
    pub fn images(&self) -> Pages<Image> {
        let client = self.clone();
        Pages::new(move |after| {
            let client = client.clone();
            async move {
                let call = Call::new(Operation::ImageList, &[]);
                client.json(call.query(&PageQuery { limit: None, after })?).await
            }
        })
    }
}
