//! The size of what the agent committed.

use custody_record::event::PolicyViolated;

use super::{OutputError, OutputRequest};
use crate::gate::{self, violation};
use crate::git::Git;

/// A violation for each changed file that is larger than the limit.
pub(super) fn too_large(
    request: &OutputRequest<'_>,
    git: &Git,
    changes: &[gate::Change],
) -> Result<Vec<PolicyViolated>, OutputError> {
    let new: Vec<_> = changes.iter().filter(|change| change.new_mode != "160000").collect();
    let mut asked = String::new();
    for blob in new.iter().filter_map(|change| change.new.as_ref()) {
        asked.push_str(&format!("{blob}\n"));
    }
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let words = ["cat-file", "--batch-check=%(objectsize)"];
    let sizes = git.run_with_input(&words, asked.as_bytes())?;
    let sizes = String::from_utf8_lossy(&sizes);
    let sizes = sizes.lines().map(|line| line.parse::<u64>().unwrap_or(u64::MAX));
    let there = new.iter().filter(|change| change.new.is_some());
    let limit = request.limits.file_bytes;
    Ok(there
        .zip(sizes)
        .filter(|(_, size)| *size > limit)
        .map(|(change, _)| violation(&change.path, format!("it is larger than {limit} bytes")))
        .collect())
}
