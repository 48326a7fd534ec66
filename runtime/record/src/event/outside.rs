//! What happened to files outside of the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{FileKind, FileRead, Operation, Uncertain};
use custody_model::{GitOid, WorkspacePath};

/// A place outside of the workspace; see [`super::Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsidePlace {
    /// The writable directories outside of the workspace: `/tmp`, `/var/tmp`, `/run`, `/dev/shm` and the home.
    Scratch,
    /// The read-only root below everything else.
    Image,
    /// The store of git's objects.
    GitObjects,
}

/// The reason why a file has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unhashed {
    /// It is larger than the limit for hashing files outside of the workspace (`observe.outside_file`).
    TooLarge,
    /// The limit of bytes to hash after the end of a session was reached.
    EndLimit,
}

/// A read of the repository's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryRead {
    /// The commit in which it was looked up, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitOid>,
    /// It follows from the arguments of git, and was not observed: git may have read less, or more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// The object, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<GitOid>,
    /// The path in the commit, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<WorkspacePath>,
}

/// `file.outside`: an access of a process to a file outside of the workspace. Reads and executions of the same content by the
/// same process image are recorded once; listings of directories are not recorded. Contents are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOutside {
    /// Where.
    pub place: OutsidePlace,
    /// The absolute path as the sandbox sees it, in the text form of paths of the workspace; for an inferred read of the history its
    /// name in git's arguments, as in `HEAD:src/main.c`.
    pub path: String,
    /// What was done.
    pub operation: Operation,
    /// What it is.
    pub kind: FileKind,
    /// The content that was read, or the version that was written; without a digest if it was not hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<FileRead>,
    /// The second path: the new name of a rename, or the target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `path` and `target` were exchanged; there is an event for each direction, as in `file.renamed`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exchanged: bool,
    /// The part of the history that was read. If it is absent for a pack, it is not known which of its objects were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryRead>,
    /// It was still open for writing when this version was hashed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
    /// The reason why there is no digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhashed: Option<Unhashed>,
}

impl FileOutside {
    /// What was done to a file of which nothing else is known yet.
    #[must_use]
    pub fn new(place: OutsidePlace, path: String, operation: Operation, kind: FileKind) -> Self {
        Self {
            place,
            path,
            operation,
            kind,
            content: None,
            target: None,
            exchanged: false,
            history: None,
            open: false,
            uncertain: None,
            unhashed: None,
        }
    }
}
