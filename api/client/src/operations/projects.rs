//! Projects, made and listed.

use custody_api_types::Operation;
use custody_api_types::page::PageQuery;
use custody_api_types::project::{CreateProject, Project};
use custody_model::ProjectName;

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Makes a project.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_project(&self, asked: &CreateProject) -> Result<Project, ClientError> {
        self.json(Call::new(Operation::ProjectCreate, &[]).body(asked)?).await
    }

    /// The projects in which the caller has a role.
    #[must_use]
    pub fn projects(&self) -> Pages<Project> {
        let client = self.clone();
        Pages::new(move |after| {
            let client = client.clone();
            async move {
                let call = Call::new(Operation::ProjectList, &[]);
                client.json(call.query(&PageQuery { limit: None, after })?).await
            }
        })
    }

    /// One project.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn project(&self, project: &ProjectName) -> Result<Project, ClientError> {
        self.json(Call::new(Operation::ProjectGet, &[project.as_str()])).await
    }
}
