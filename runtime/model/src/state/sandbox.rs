//! The sandbox: `provisioning → ready → running ⇄ frozen → exited → destroyed`, or `failed`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidTransition;
use crate::Timestamp;

/// How process 1 of a sandbox ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxEnd {
    /// With this exit code, 0 to 255.
    Code(u8),
    /// A signal of this number ended it.
    Signal(u8),
}

/// Where a sandbox stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum SandboxState {
    /// It is being made.
    Provisioning {
        /// Since when.
        since: Timestamp,
    },
    /// It exists; nothing runs in it.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// Its process 1 runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// All its processes are frozen.
    Frozen {
        /// When process 1 started.
        started_at: Timestamp,
        /// Since when they are frozen.
        since: Timestamp,
    },
    /// No process is left in it.
    Exited {
        /// When.
        at: Timestamp,
        /// How process 1 ended.
        end: SandboxEnd,
    },
    /// Nothing of it is left: no process, mount, cgroup, file.
    Destroyed {
        /// When.
        at: Timestamp,
    },
    /// It could not be made or started; remains of it may exist until it is destroyed.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

impl SandboxState {
    /// A sandbox that is being made.
    #[must_use]
    pub const fn provisioning(at: Timestamp) -> Self {
        Self::Provisioning { since: at }
    }

    /// The stable name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Provisioning { .. } => "provisioning",
            Self::Ready { .. } => "ready",
            Self::Running { .. } => "running",
            Self::Frozen { .. } => "frozen",
            Self::Exited { .. } => "exited",
            Self::Destroyed { .. } => "destroyed",
            Self::Failed { .. } => "failed",
        }
    }

    const fn cannot(&self, verb: &'static str) -> InvalidTransition {
        InvalidTransition { machine: "sandbox", from: self.name(), verb }
    }

    /// `provisioning → ready`.
    ///
    /// # Errors
    /// From any other state.
    pub fn ready(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Provisioning { .. } = self {
            Ok(Self::Ready { since: at })
        } else {
            Err(self.cannot("become ready"))
        }
    }

    /// `ready → running`.
    ///
    /// # Errors
    /// From any other state.
    pub fn start(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Ready { .. } = self {
            Ok(Self::Running { started_at: at })
        } else {
            Err(self.cannot("start"))
        }
    }

    /// `running → frozen`.
    ///
    /// # Errors
    /// From any other state.
    pub fn freeze(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Running { started_at } = self {
            Ok(Self::Frozen { started_at, since: at })
        } else {
            Err(self.cannot("be frozen"))
        }
    }

    /// `frozen → running`.
    ///
    /// # Errors
    /// From any other state.
    pub fn thaw(self, _at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Frozen { started_at, .. } = self {
            Ok(Self::Running { started_at })
        } else {
            Err(self.cannot("be thawed"))
        }
    }

    /// `running` or `frozen → exited`.
    ///
    /// # Errors
    /// From any other state.
    pub fn exit(self, at: Timestamp, end: SandboxEnd) -> Result<Self, InvalidTransition> {
        if matches!(self, Self::Running { .. } | Self::Frozen { .. }) {
            Ok(Self::Exited { at, end })
        } else {
            Err(self.cannot("exit"))
        }
    }

    /// `provisioning` or `ready → failed`.
    ///
    /// # Errors
    /// From any other state: what runs exits.
    pub fn fail(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        if matches!(self, Self::Provisioning { .. } | Self::Ready { .. }) {
            Ok(Self::Failed { at, reason })
        } else {
            Err(self.cannot("fail"))
        }
    }

    /// `ready`, `exited` or `failed → destroyed`. What runs has to be killed, and has to have exited, before.
    ///
    /// # Errors
    /// From any other state.
    pub fn destroy(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if matches!(self, Self::Ready { .. } | Self::Exited { .. } | Self::Failed { .. }) {
            Ok(Self::Destroyed { at })
        } else {
            Err(self.cannot("be destroyed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1);

    #[test]
    fn a_sandbox_has_the_transitions_of_the_design_and_no_others() {
        let made = || SandboxState::provisioning(NOW);
        let ready = || made().ready(NOW).unwrap();
        let running = || ready().start(NOW).unwrap();
        let exited = || running().exit(NOW, SandboxEnd::Signal(9)).unwrap();
        let states = [
            made(),
            ready(),
            running(),
            running().freeze(NOW).unwrap(),
            exited(),
            exited().destroy(NOW).unwrap(),
            made().fail(NOW, "no memory".to_owned()).unwrap(),
        ];
        let table = states.map(|state| {
            assert_eq!(serde_json::to_value(&state).unwrap()["state"], state.name());
            let after = |result: Result<SandboxState, InvalidTransition>| u8::from(result.is_ok());
            [
                after(state.clone().ready(NOW)),
                after(state.clone().start(NOW)),
                after(state.clone().freeze(NOW)),
                after(state.clone().thaw(NOW)),
                after(state.clone().exit(NOW, SandboxEnd::Code(0))),
                after(state.clone().fail(NOW, String::new())),
                after(state.destroy(NOW)),
            ]
        });
        assert_eq!(
            table,
            [
                [1, 0, 0, 0, 0, 1, 0],
                [0, 1, 0, 0, 0, 1, 1],
                [0, 0, 1, 0, 1, 0, 0],
                [0, 0, 0, 1, 1, 0, 0],
                [0, 0, 0, 0, 0, 0, 1],
                [0, 0, 0, 0, 0, 0, 0],
                [0, 0, 0, 0, 0, 0, 1],
            ]
        );
    }
}
