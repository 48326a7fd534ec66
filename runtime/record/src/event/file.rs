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
}

/// `file.symlinked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSymlinked {
    /// The new name.
    pub path: WorkspacePath,
    /// What it points at, as written; bytes that are not UTF-8 are replaced.
    pub target: String,
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
    /// The path was not asked for in the workspace but in the repository's history, as this object of git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<GitOid>,
    /// The rule that refused it, as the policy spells it.
    pub rule: String,
    /// What the process got, as in `EACCES`.
    pub errno: String,
    /// How many times in a row, by this process, without anything else between.
    pub count: u64,
}
