//! The size of what the agent committed.

use custody_model::GitOid;
use custody_record::event::PolicyViolated;

use super::{OutputError, OutputRequest};
use crate::gate::{self, violation};
use crate::git::{Git, GitError};

/// A violation for each changed file that is larger than the limit.
pub(super) fn too_large(
    request: &OutputRequest<'_>,
    git: &Git,
    changes: &[gate::Change],
) -> Result<Vec<PolicyViolated>, OutputError> {
    let files = changes.iter().filter(|change| change.new_mode != gate::LINK_MODE);
    let new = files.filter_map(|change| Some((change, change.new.as_ref()?)));
    let limit = request.limits.file_bytes;
    Ok(larger(git, new, limit)?
        .into_iter()
        .map(|change| violation(&change.path, format!("it is larger than {limit} bytes")))
        .collect())
}

/// The owners of those blobs that are larger than the limit, in bytes. A blob that is not there is larger than any.
pub(super) fn larger<'a, T>(
    git: &Git,
    blobs: impl Iterator<Item = (T, &'a GitOid)>,
    limit: u64,
) -> Result<Vec<T>, GitError> {
    let mut asked = String::new();
    let mut owners = Vec::new();
    for (owner, blob) in blobs {
        asked.push_str(&format!("{blob}\n"));
        owners.push(owner);
    }
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["cat-file", "--batch-check=%(objectsize)"];
    let sizes = git.run_with_input(&words, asked.as_bytes())?;
    let sizes = String::from_utf8_lossy(&sizes);
    let sizes = sizes.lines().map(|line| line.parse::<u64>().unwrap_or(u64::MAX));
    let larger = owners.into_iter().zip(sizes).filter(|(_, size)| *size > limit);
    Ok(larger.map(|(owner, _)| owner).collect())
}
