//! What happened to files of the workspace.

use custody_model::{Digest, GitOid, WorkspacePath};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of POSIX")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Other,
}

/// How a file was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// For its content, or to list a directory.
    Read,
    /// To run it, or as the interpreter or library of what is run.
    Execute,
    /// For writing: as an intent in strict mode; elsewhere if nothing was written when it was closed.
    Write,
}

/// What was opened: the content, named as well as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRead {
    /// Unmodified since the base commit: its git blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_blob: Option<GitOid>,
    /// Otherwise the SHA-256 of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The part of an event that was not observed: the kernel's notices left more than one possibility, because several processes
/// worked at once or the same operation was repeated. Absent: all of it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Uncertain {
    /// The path, or one of the two paths of a rename: the file may have had another name at that moment.
    Path,
    /// The content: a process was writing, so the access may have been to another version. Without a digest the version is unknown.
    Content,
    /// Both.
    PathAndContent,
}

impl Uncertain {
    /// The uncertain part; `None` if there is none.
    #[must_use]
    pub fn of(path: bool, content: bool) -> Option<Self> {
        match (path, content) {
            (false, false) => None,
            (true, false) => Some(Self::Path),
            (false, true) => Some(Self::Content),
            (true, true) => Some(Self::PathAndContent),
        }
    }

    /// Whether the path is.
    #[must_use]
    pub fn path(self) -> bool {
        match self {
            Self::Path | Self::PathAndContent => true,
            Self::Content => false,
        }
    }

    /// Whether the content is.
    #[must_use]
    pub fn content(self) -> bool {
        match self {
            Self::Content | Self::PathAndContent => true,
            Self::Path => false,
        }
    }
}

/// `file.opened`: the first such access to this content by this process image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOpened {
    /// Which.
    pub path: WorkspacePath,
    /// What it is.
    pub kind: FileKind,
    /// How.
    pub access: Access,
    /// The content, for files.
    pub content: FileRead,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// `file.reopened`: repeats of a `file.opened` of the same process image, counted when the image ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileReopened {
    /// Which.
    pub path: WorkspacePath,
    /// How.
    pub access: Access,
    /// How many more times; a lower bound where the kernel merged notices.
    pub count: u64,
}

/// `file.written`: a version of a file that came to be: created, written or truncated. For a directory or a special
/// file: its creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileWritten {
    /// Which.
    pub path: WorkspacePath,
    /// What it is.
    pub kind: FileKind,
    /// The version before: absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FileRead>,
    /// The version after; its `git_blob` is the id that git would give the content.
    pub after: FileRead,
    /// It still was open for writing when this version was hashed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// `file.renamed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRenamed {
    /// From here.
    pub from: WorkspacePath,
    /// To here.
    pub to: WorkspacePath,
    /// What it is.
    pub kind: FileKind,
    /// What stood at `to` and was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced: Option<FileRead>,
    /// `from` and `to` were exchanged (`RENAME_EXCHANGE` of renameat2(2)). Two events in a row record it, one for each direction; the
    /// one whose `from` sorts before its `to` comes first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exchanged: bool,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// `file.removed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRemoved {
    /// Which.
    pub path: WorkspacePath,
    /// What it was.
    pub kind: FileKind,
    /// Its last version, for files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<FileRead>,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// `file.linked`: a hard link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileLinked {
    /// The new name.
    pub path: WorkspacePath,
    /// A name that the file already had, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<WorkspacePath>,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// `file.symlinked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSymlinked {
    /// The new name.
    pub path: WorkspacePath,
    /// What it points at, as written; bytes that are not UTF-8 are replaced.
    pub target: String,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// `file.attributes_changed`: chmod, chown, utimens, or an extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributesChanged {
    /// Which.
    pub path: WorkspacePath,
    /// Permission bits after the change, in octal, as in `0644`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Name of the extended attribute, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xattr: Option<String>,
    /// The part of the event that was not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Uncertain>,
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of POSIX")]
pub enum Operation {
    Lookup,
    Stat,
    Open,
    List,
    Read,
    Write,
    Create,
    Mkdir,
    Mknod,
    Symlink,
    Link,
    Rename,
    Unlink,
    Rmdir,
    Chmod,
    Chown,
    Utimens,
    Truncate,
    Setxattr,
    Getxattr,
    Listxattr,
    Removexattr,
    Readlink,
    Execute,
    /// A change of permissions, owners, times or an extended attribute, if it is not known which.
    Setattr,
}

/// `file.denied`: an attempt that a rule refused before it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDenied {
    /// Which; of the two paths of a rename or link the first that is in the workspace.
    pub path: WorkspacePath,
    /// What was attempted.
    pub operation: Operation,
    /// The second path of a rename or link, if both are in the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<WorkspacePath>,
    /// The refused access was to this git object of the repository's history, and not to the path in the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<GitOid>,
    /// The rule that refused it, as the policy spells it.
    pub rule: String,
    /// What the process got, as in `EACCES`.
    pub errno: String,
    /// How many times in a row, by this process, without anything else between.
    pub count: u64,
}
