//! Policies: versions of documents, and what they say.

use custody_model::{Digest, ProjectName, Timestamp, UserName};
use custody_record::event::Decision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 << 10;

/// A version of a project's policy. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whose.
    pub project: ProjectName,
    /// Digest of the document's canonical form: the version.
    pub digest: Digest,
    /// The policy's name.
    pub name: String,
    /// It decides about new requests of the project.
    pub active: bool,
    /// Since when.
    pub created_at: Timestamp,
    /// Who wrote it; absent for the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<UserName>,
    /// The document, as its admin wrote it; absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

/// A policy version to be kept. It decides nothing until it is activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePolicy {
    /// The document: YAML, or JSON.
    #[schemars(length(min = 1, max = MAX_DOCUMENT_BYTES))]
    pub document: String,
}

/// With which version one is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffQuery {
    /// A version of the same project; the active one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Digest>,
}

/// How one version differs from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyDiff {
    /// The version that it is compared with.
    pub from: Digest,
    /// The version that was asked about.
    pub to: Digest,
    /// Unified diff from one document to the other; empty if they say the same in the same words.
    pub diff: String,
}

/// What would a policy say?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainPolicy {
    /// Who would do it; the caller without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    /// The action's name, as in `file.write`.
    #[schemars(length(min = 1, max = 64))]
    pub action: String,
    /// What it is done to: a path, a command, a host and port, an image, a variable, as the action wants it.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub argument: String,
}

/// What a policy says, and all that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyExplanation {
    /// The policy's name.
    pub policy_name: String,
    /// The policy version.
    pub policy: Digest,
    /// Who would do it.
    pub user: UserName,
    /// The action's name.
    pub action: String,
    /// What was decided.
    pub decision: Decision,
    /// The rule that decided.
    pub rule: Rule,
    /// Why, in words.
    pub reason: String,
    /// All checks in their order, the deciding one among them.
    pub checks: Vec<Check>,
}

/// One check, and the rule that decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was decided.
    pub decision: Decision,
    /// By which rule.
    pub rule: Rule,
    /// Why, in words.
    pub reason: String,
}

/// A rule of a policy, or one that is built in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// As the policy spells it; `built in: …` for what holds whatever a document says.
    pub text: String,
    /// Its place in the document as a JSON pointer (RFC 6901); empty if it is built in.
    pub pointer: String,
    /// Its line in the document, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}
