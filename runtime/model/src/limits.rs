//! What a session may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of one of the [`Limits`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is documented at the member of this name")]
pub enum LimitName {
    CpuMillicores,
    MemoryBytes,
    Processes,
    DiskBytes,
    WallSeconds,
    IdleSeconds,
    /// The record is from before limits were named.
    #[serde(rename = "limit")]
    Untold,
}

/// Limits of one session; each is enforced, none is advice. Absent means: not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Processor time per second of wall time, in thousandths of a core (1500 = one and a half cores).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millicores: Option<u32>,
    /// Memory of all processes together, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes and threads at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// What the session may write to disk (workspace, /tmp and record), in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// From the first instruction to the end, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_seconds: Option<u64>,
    /// Without any terminal output, exec or file access, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
}
