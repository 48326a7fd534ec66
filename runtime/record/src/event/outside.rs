//! What happened to files outside of the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::{FileKind, FileRead, Operation, Uncertain};
use custody_model::{GitOid, WorkspacePath};

/// Where outside of the workspace; see [`super::Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutsidePlace {
    /// What the session may write outside of the workspace: `/tmp`, `/var/tmp`, `/run`, `/dev/shm` and the home.
    Scratch,
    /// The read-only root below everything else.
    Image,
    /// The store of git's objects.
    GitObjects,
}

/// Why a file that was looked at has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unhashed {
    /// It has more bytes than are hashed of a file outside of the workspace (`observe.outside_file`).
    TooLarge,
    /// The bytes that are hashed after the end of a session were used up.
    EndLimit,
}

/// What was read of the repository's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryRead {
    /// The commit in which it was looked for, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitOid>,
    /// It follows from the arguments of git, and was not observed: git may have read less, or more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inferred: bool,
    /// The object, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<GitOid>,
    /// The path in the commit, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<WorkspacePath>,
}

/// `file.outside`: what a process did to a file outside of the workspace. Reads and executions of one content by one
/// process image are told once; listings of directories are not told. Contents are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOutside {
    /// Where.
    pub place: OutsidePlace,
    /// Which: the absolute path as the sandbox sees it, in the text form of paths of the workspace; for what is inferred to be read
    /// of the history its name in git's arguments, as in `HEAD:src/main.c`.
    pub path: String,
    /// What was done.
    pub operation: Operation,
    /// What it is.
    pub kind: FileKind,
    /// The content that was read, or the version that came to be; without a digest where it was not hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<FileRead>,
    /// The second path: where it was renamed to, what the link points at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// `path` and `target` changed places; told from both sides, as in `file.renamed`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exchanged: bool,
    /// What of the history was read. A pack that was opened without it: which objects of it were read is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryRead>,
    /// It still was open for writing when this version was looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// What of it was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
    /// Why there is no digest.
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
