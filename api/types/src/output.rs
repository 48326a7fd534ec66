//! What a session gave back.

use custody_model::{EventId, GitOid, Timestamp, WorkspacePath};
use custody_record::event::{CommitAuthor, CreatedRef, CreatedSubmodule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a session gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// The repository's name here.
    pub repository: String,
    /// Path of its bare mirror on the server's machine, from which the branch can be fetched there.
    pub mirror: String,
    /// The session's branch in the mirror; absent if it changed nothing that may get out, or is not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commits: first those of submodules, then those that only other refs have, then those of the branch in its order. The last
    /// one is the branch's head.
    pub commits: Vec<Commit>,
    /// The session's other refs that were created or moved: branches, tags, entries of the stash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<CreatedRef>,
    /// The submodules that the session changed: each has commits of its own repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<CreatedSubmodule>,
}

/// Which of the repositories of a session's workspace is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BranchQuery {
    /// The submodule in this directory of the workspace; the session's own repository without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submodule: Option<WorkspacePath>,
}

/// A commit of a session's branch, or of another ref of the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The commit.
    pub commit: GitOid,
    /// Its tree.
    pub tree: GitOid,
    /// Who made it.
    pub author: CommitAuthor,
    /// Number of files that it changes.
    pub file_count: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Place in the record of the event that tells of it.
    pub seq: u64,
    /// That event.
    pub event: EventId,
}
