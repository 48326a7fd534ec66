//! Policies: versions that never change, and which of them decides.

use custody_model::{Digest, ProjectName};
use custody_policy::PolicyVersion;
use custody_record::control::{ControlBody, PolicyActivated, PolicyCreated};
use custody_store::PolicyRow;

use crate::author::Author;
use crate::error::ControlError;
use crate::plane::ControlPlane;
use crate::projection::POLICY_ROLE;

/// Media type of a policy document (RFC 9512).
const MEDIA_TYPE: &str = "application/yaml";

impl ControlPlane {
    /// A policy version of a project.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn policy(
        &self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<PolicyRow, ControlError> {
        let row = self.store().policy(project, digest).await?;
        row.ok_or_else(|| ControlError::NotFound {
            what: "policy version",
            name: digest.to_string(),
        })
    }

    /// Keeps a policy version. It decides nothing until it is activated. The same document twice is one version.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] if there is no such project.
    pub async fn create_policy(
        &self,
        author: &Author,
        project: &ProjectName,
        version: &PolicyVersion,
    ) -> Result<PolicyRow, ControlError> {
        self.project(project).await?;
        if let Some(row) = self.store().policy(project, &version.digest()).await? {
            return Ok(row);
        }
        let bytes = version.source().as_bytes().to_vec();
        let blob = self.document(POLICY_ROLE, MEDIA_TYPE, bytes).await?;
        let created = ControlBody::PolicyCreated(PolicyCreated {
            project: project.clone(),
            policy: version.digest(),
            name: version.name().to_owned(),
        });
        self.record_with(author, vec![(created, vec![blob])]).await?;
        self.policy(project, &version.digest()).await
    }

    /// Lets a version decide about new requests. Sessions that were requested before stay under theirs.
    ///
    /// # Errors
    /// [`ControlError::NotFound`].
    pub async fn activate_policy(
        &self,
        author: &Author,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<PolicyRow, ControlError> {
        let row = self.policy(project, digest).await?;
        let previous = self.project(project).await?.active_policy;
        if previous != Some(*digest) {
            let activated = ControlBody::PolicyActivated(PolicyActivated {
                project: project.clone(),
                policy: *digest,
                previous,
            });
            self.record(author, vec![activated]).await?;
        }
        Ok(row)
    }

    /// The version that decides about new requests of a project.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] if there is none, or it is not valid any more.
    pub async fn active_policy(
        &self,
        project: &ProjectName,
    ) -> Result<PolicyVersion, ControlError> {
        let Some(digest) = self.project(project).await?.active_policy else {
            return Err(ControlError::Conflict(format!(
                "project {project} has no active policy, so nothing can be requested in it: an admin activates \
                 one with `custody policy create FILE --project {project} --activate`"
            )));
        };
        self.policy_version(project, &digest).await
    }

    /// A version, read and compiled.
    ///
    /// # Errors
    /// [`ControlError::NotFound`], [`ControlError::Conflict`] if it is not valid any more.
    pub async fn policy_version(
        &self,
        project: &ProjectName,
        digest: &Digest,
    ) -> Result<PolicyVersion, ControlError> {
        let row = self.policy(project, digest).await?;
        let version = PolicyVersion::parse(&row.document)
            .map_err(|e| ControlError::Conflict(format!("policy version {digest}: {e}")))?;
        if version.digest() == *digest {
            Ok(version)
        } else {
            let found = version.digest();
            Err(ControlError::Conflict(format!(
                "the document of policy version {digest} is one of {found}"
            )))
        }
    }
}
