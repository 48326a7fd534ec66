//! Repositories.

use custody_model::{ProjectName, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A repository that is mirrored here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Its name in this installation.
    pub name: String,
    /// Whose.
    pub project: ProjectName,
    /// Where its history comes from, without credentials.
    pub source: String,
    /// Since when.
    pub registered_at: Timestamp,
}

/// A repository to be mirrored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRepository {
    /// Whose it is to be.
    #[serde(default = "ProjectName::default_project")]
    pub project: ProjectName,
    /// A URL that git can fetch; or, for admins of the installation, a checkout or bare repository on the server's machine.
    #[schemars(length(min = 1, max = 4096))]
    pub source: String,
    /// Its name in this installation; made from the source without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9._-]{0,99}$"))]
    pub name: Option<String>,
    /// Fetch the history now, and not when a session needs it.
    #[serde(default)]
    pub fetch: bool,
}

/// Which repositories are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepositoryQuery {
    /// Of this project; of every one that the caller has a role in without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    /// At most so many items; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::page::MAX_PAGE))]
    pub limit: Option<u32>,
    /// After the page that said this in `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,512}$"))]
    pub after: Option<String>,
}
