//! Policies: versions of documents, and what they say.

use custody_api_types::Operation;
use custody_api_types::page::PageQuery;
use custody_api_types::policy::{
    CreatePolicy, DiffQuery, ExplainPolicy, Policy, PolicyDiff, PolicyExplanation,
};
use custody_model::{Digest, ProjectName};

use crate::call::Call;
use crate::client::Client;
use crate::error::ClientError;
use crate::pages::Pages;

impl Client {
    /// Keeps a policy version. It decides nothing until it is activated.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_policy(
        &self,
        project: &ProjectName,
        document: &str,
    ) -> Result<Policy, ClientError> {
        let asked = CreatePolicy { document: document.to_owned() };
        self.json(Call::new(Operation::PolicyCreate, &[project.as_str()]).body(&asked)?).await
    }

    /// The versions of a project's policy, the newest first, without their documents.
    #[must_use]
    pub fn policies(&self, project: &ProjectName) -> Pages<Policy> {
        let (client, project) = (self.clone(), project.clone());
        Pages::new(move |after| {
            let (client, project) = (client.clone(), project.clone());
            async move {
                let call = Call::new(Operation::PolicyList, &[project.as_str()]);
                client.json(call.query(&PageQuery { limit: None, after })?).await
            }
        })
    }

    /// One version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policy(
        &self,
        project: &ProjectName,
        policy: &Digest,
    ) -> Result<Policy, ClientError> {
        self.json(of(Operation::PolicyGet, project, policy)).await
    }

    /// Lets a version decide about new requests.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn activate_policy(
        &self,
        project: &ProjectName,
        policy: &Digest,
    ) -> Result<Policy, ClientError> {
        self.json(of(Operation::PolicyActivate, project, policy)).await
    }

    /// How a version differs from another, or from the active one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn policy_diff(
        &self,
        project: &ProjectName,
        policy: &Digest,
        against: Option<Digest>,
    ) -> Result<PolicyDiff, ClientError> {
        let call = of(Operation::PolicyDiff, project, policy).query(&DiffQuery { against })?;
        self.json(call).await
    }

    /// What a version would say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn explain_policy(
        &self,
        project: &ProjectName,
        policy: &Digest,
        asked: &ExplainPolicy,
    ) -> Result<PolicyExplanation, ClientError> {
        self.json(of(Operation::PolicyExplain, project, policy).body(asked)?).await
    }
}

fn of(operation: Operation, project: &ProjectName, policy: &Digest) -> Call {
    Call::new(operation, &[project.as_str(), &policy.to_string()])
}
