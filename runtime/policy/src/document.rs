//! The policy document, format `custody/policy/v1`: what an admin writes, as types.
//!
//! What a document does not allow is refused: there is no implicit requester, image or command.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use custody_model::Limits;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::{CommandPattern, CommandRule};
use crate::glob::TextPattern;
use crate::paths::PathRules;
use crate::privacy::RedactionRules;
use crate::quantity::{Millicores, Seconds, Size};
use crate::retention::RetentionRules;

/// Most approvals that a document may want for one session.
pub const MAX_APPROVALS: u8 = 16;
/// Longest description and longest fixed value of a variable, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Custody policy")]
pub struct Document {
    /// The version of this format.
    pub version: FormatVersion,
    /// The policy's name, as records show it: 1 to 64 of a-z, 0-9, `-`, `_` and `.`.
    #[schemars(regex(pattern = "^[a-z0-9._-]{1,64}$"))]
    pub name: String,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Who may request a session.
    pub requesters: Requesters,
    /// Whether somebody has to approve it, and who.
    #[serde(default, skip_serializing_if = "is_default")]
    pub approval: ApprovalRule,
    /// The images that sessions may run in; `host` is the machine's own system, read-only.
    pub images: Vec<TextPattern>,
    /// Which commands may be a session's command; the last rule that matches wins. It decides what a session is
    /// started with: what the command itself runs is recorded, not decided.
    pub commands: Vec<CommandRule>,
    /// How paths of the workspace are treated; the last rule that matches wins, and what matches none is read_write.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paths: PathRules,
    /// How the workspace is mediated.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mediation: Mediation,
    /// What a session may use.
    #[serde(default, skip_serializing_if = "is_default")]
    pub limits: LimitRules,
    /// The environment variables of the sandbox.
    #[serde(default, skip_serializing_if = "is_default")]
    pub environment: EnvironmentRules,
    /// What is taken out of records before they are written.
    #[serde(default, skip_serializing_if = "is_default")]
    pub redaction: RedactionRules,
    /// How long the content of records is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retention: RetentionRules,
}

/// The version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FormatVersion {
    /// The first.
    #[serde(rename = "custody/policy/v1")]
    V1,
}

/// Who may request a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requesters {
    /// Users by name.
    pub users: Vec<TextPattern>,
}

/// Whether a session needs an approval. Nobody approves what they asked for, whatever a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRule {
    /// When it does.
    pub required: Required,
    /// With `required: when`: it does if any of these holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// Who may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<TextPattern>,
    /// How many different people have to; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_APPROVALS))]
    pub count: Option<u8>,
}

impl ApprovalRule {
    /// How many different people have to approve, if an approval is needed.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.count.unwrap_or(1).max(1))
    }
}

/// When an approval is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// Never.
    #[default]
    Never,
    /// For every session.
    Always,
    /// If a condition of `when` holds.
    When,
}

/// A property of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It asks for such an image.
    Image(TextPattern),
    /// It asks for a command that begins like this.
    Command(CommandPattern),
}

/// How the workspace is mediated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mediation {
    /// Guarded paths are decided beforehand, everything else is observed at native speed. A request may ask for
    /// `strict`.
    #[default]
    Observed,
    /// Every operation is decided and recorded before it happens.
    Strict,
}

/// What a session may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRules {
    /// What it gets if it asks for nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub default: LimitSet,
    /// The most that it gets, whatever it asks for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max: LimitSet,
}

/// A limit for each resource; absent: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSet {
    /// Processor cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Millicores>,
    /// Memory of all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Processes and threads at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<NonZeroU32>,
    /// What it may write to disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Size>,
    /// From the first instruction to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<Seconds>,
    /// Without any terminal output, exec or file access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Seconds>,
}

impl From<&LimitSet> for Limits {
    fn from(set: &LimitSet) -> Self {
        Self {
            cpu_millicores: set.cpu.map(|cpu| cpu.0),
            memory_bytes: set.memory.map(|size| size.0),
            processes: set.processes.map(NonZeroU32::get),
            disk_bytes: set.disk.map(|size| size.0),
            wall_seconds: set.wall.map(|wall| wall.0),
            idle_seconds: set.idle.map(|idle| idle.0),
        }
    }
}

impl LimitRules {
    /// What a session gets that asks for `asked`: the smaller of what was asked for (or the default) and the most.
    #[must_use]
    pub fn grant(&self, asked: &Limits) -> Limits {
        fn one<T: Copy + Ord>(asked: Option<T>, default: Option<T>, max: Option<T>) -> Option<T> {
            [asked.or(default), max].into_iter().flatten().min()
        }
        let (default, max) = (Limits::from(&self.default), Limits::from(&self.max));
        Limits {
            cpu_millicores: one(asked.cpu_millicores, default.cpu_millicores, max.cpu_millicores),
            memory_bytes: one(asked.memory_bytes, default.memory_bytes, max.memory_bytes),
            processes: one(asked.processes, default.processes, max.processes),
            disk_bytes: one(asked.disk_bytes, default.disk_bytes, max.disk_bytes),
            wall_seconds: one(asked.wall_seconds, default.wall_seconds, max.wall_seconds),
            idle_seconds: one(asked.idle_seconds, default.idle_seconds, max.idle_seconds),
        }
    }
}

/// The environment variables of the sandbox. What looks like a credential (`…_TOKEN`, `…_KEY`, `…_PASSWORD`, …)
/// never enters: credentials are used outside the sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRules {
    /// Names of the requester's variables that may enter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enter: Vec<TextPattern>,
    /// Variables that are set to a fixed value, whatever the requester has. The values are in every record: no
    /// secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}
