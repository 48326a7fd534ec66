//! Policies: versions that never change, and what they say.

mod activate;
mod create;
mod diff;
mod explain;
mod get;
mod list;

use custody_api_types::policy::Policy;
use custody_policy::{PolicyError, PolicyVersion};
use custody_store::{PolicyRow, ProjectRow};

pub(crate) use activate::activate;
pub(crate) use create::create;
pub(crate) use diff::diff;
pub(crate) use explain::explain;
pub(crate) use get::get;
pub(crate) use list::list;

use crate::error::{ApiError, chain};

/// A version as lists show it.
fn listed(row: PolicyRow, project: &ProjectRow) -> Policy {
    Policy { document: None, ..shown(row, project) }
}

fn shown(row: PolicyRow, project: &ProjectRow) -> Policy {
    Policy {
        active: project.active_policy == Some(row.digest),
        project: row.project,
        digest: row.digest,
        name: row.name,
        created_at: row.created_at,
        created_by: row.created_by,
        document: Some(row.document),
    }
}

/// Reads a document that a client sent in this member of its body.
pub(crate) fn parse(document: &str, field: &str) -> Result<PolicyVersion, ApiError> {
    PolicyVersion::parse(document).map_err(|error: PolicyError| {
        ApiError::invalid(field, format!("the policy is not valid: {}", chain(&error)))
    })
}
