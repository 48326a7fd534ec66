//! What the driver and its launcher say to each other: JSON, one object a line, over one socket.
//!
//! The socket is also the lifeline: when the driver's process dies, the launcher reads the end of the stream and
//! kills the sandbox.

use std::collections::BTreeMap;
use std::path::PathBuf;

use custody_model::state::sandbox::SandboxEnd;
use custody_sandbox::SandboxSpec;
use serde::{Deserialize, Serialize};

/// The first line: what to make.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// The sandbox.
    pub(crate) spec: SandboxSpec,
    /// The `cgroup.procs` files that process 1 is written to.
    pub(crate) cgroup_procs: Vec<PathBuf>,
}

/// What the driver says after the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ToLauncher {
    /// Execute init.
    Start,
    /// Kill process 1, and with it every other.
    Kill,
}

/// What the launcher says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FromLauncher {
    /// All is made; process 1 waits for the start.
    Prepared {
        /// Process 1 in the launcher's pid namespace, which is the driver's.
        pid: u32,
        /// How each protection took.
        protections: BTreeMap<String, String>,
    },
    /// A step failed; nothing runs.
    Failed {
        /// Which.
        step: String,
        /// Why.
        reason: String,
    },
    /// Init was executed.
    Started,
    /// Process 1 ended and no process is left.
    Ended {
        /// How.
        end: SandboxEnd,
        /// The last that it wrote to its standard error.
        messages: String,
    },
}
