//! Projects and their repositories.

use custody_model::ProjectName;
use custody_record::control::{ControlBody, ProjectCreated, RepositoryRegistered};
use custody_store::{ProjectRow, RepositoryRow};

use crate::author::Author;
use crate::error::ControlError;
use crate::plane::ControlPlane;

/// Longest description of a project and longest reason or comment, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Refuses a text that is too long for an event.
///
/// # Errors
/// [`ControlError::Invalid`].
pub fn short(field: &'static str, text: &str) -> Result<(), ControlError> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    let reason = format!("it has {} bytes, and {MAX_TEXT_BYTES} are the most", text.len());
    Err(ControlError::Invalid { field, reason })
}

impl ControlPlane {
    /// The project of this name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn project(&self, name: &ProjectName) -> Result<ProjectRow, ControlError> {
        let row = self.store().project(name).await?;
        row.ok_or_else(|| ControlError::NotFound { what: "project", name: name.to_string() })
    }

    /// Makes a project. It has no policy yet, so nothing can be requested in it.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] if there is one of this name.
    pub async fn create_project(
        &self,
        author: &Author,
        name: &ProjectName,
        description: &str,
    ) -> Result<ProjectRow, ControlError> {
        short("description", description)?;
        if self.store().project(name).await?.is_some() {
            return Err(ControlError::Conflict(format!("there is a project {name} already")));
        }
        let (project, description) = (name.clone(), description.to_owned());
        let created = ControlBody::ProjectCreated(ProjectCreated { project, description });
        self.record(author, vec![created]).await?;
        self.project(name).await
    }

    /// The repository of this name.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn repository(&self, name: &str) -> Result<RepositoryRow, ControlError> {
        let row = self.store().repository(name).await?;
        row.ok_or_else(|| ControlError::NotFound { what: "repository", name: name.to_owned() })
    }

    /// Puts it on record that a repository is mirrored here, and whose it is.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] if it is another project's.
    pub async fn registered_repository(
        &self,
        author: &Author,
        name: &str,
        project: &ProjectName,
        source: &str,
    ) -> Result<RepositoryRow, ControlError> {
        self.project(project).await?;
        if let Some(row) = self.store().repository(name).await? {
            if row.project != *project {
                return Err(ControlError::Conflict(format!(
                    "the repository {name} belongs to project {}",
                    row.project
                )));
            }
            if row.source == source {
                return Ok(row);
            }
        }
        let registered = ControlBody::RepositoryRegistered(RepositoryRegistered {
            repository: name.to_owned(),
            project: project.clone(),
            source: source.to_owned(),
        });
        self.record(author, vec![registered]).await?;
        self.repository(name).await
    }
}
