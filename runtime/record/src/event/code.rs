//! Codes beside words: why a record was closed, why it has a gap, why a sandbox was held. A code is for programs and stays; the
//! words beside it are for people and may change. Events from before the codes have none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a record was closed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ClosingCode {
    /// The command ended by itself, or a signal of the sandbox ended it.
    CommandEnded,
    /// The command could not be executed.
    CommandNotRun,
    /// The sandbox ended before its command, or the connection to it broke.
    SandboxLost,
    /// A person or a client requested it.
    Asked,
    /// It reached a limit; `limit` names it.
    LimitReached,
    /// The keeper's process received a signal to terminate.
    KeeperTerminated,
    /// The record could not be written, so no further effect was allowed.
    RecordUnwritable,
    /// The policy or an approver refused it.
    Refused,
    /// The sandbox could not be created.
    NotProvisioned,
    /// A step before or after the command failed, such as the workspace's preparation or its comparison with the record.
    StepFailed,
    /// The terminal's recording could not be completed.
    RecordingFailed,
    /// The command ended, and its outputs could not be published.
    OutputsFailed,
    /// The keeper died; another process closed the record.
    KeeperDied,
    /// The keeper gave up waiting for its disk; another process closed the record.
    KeeperGaveUp,
}

/// Why a record has a gap.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum GapCode {
    /// The keeper died or gave up, with what it had not written.
    KeeperLost,
    /// An event was too large for the record.
    EventTooLong,
    /// The observer of the workspace missed something.
    FilesUnobserved,
    /// Opens of git's objects were missed.
    ObjectsUnobserved,
    /// The comparison of the workspace with the record left something out.
    NotCompared,
    /// The diff is longer than its limit.
    DiffCut,
    /// Notices of execs, connections and names could not be received or answered.
    NoticesLost,
    /// The memory of the calling process could not be read.
    ProcessUnreadable,
    /// The file that was opened for an exec is not known.
    ExecutableUnknown,
    /// Forks and exits of processes were missed.
    LifetimesLost,
    /// The relay on loopback stopped, or could not serve a connection.
    RelayFailed,
    /// The name server on loopback stopped.
    NameServerFailed,
}

/// Why a sandbox was held.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PauseCode {
    /// The recorder has a backlog.
    Backlog,
    /// The record can't be written.
    RecordUnwritable,
}

/// How the workspace was mediated.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MediationMode {
    /// Accesses on an overlay were observed; accesses to guarded paths were decided.
    Observed,
    /// The guard decided every access.
    Strict,
}

impl MediationMode {
    /// Its name in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Strict => "strict",
        }
    }

    /// What `session.provisioned` says in `mediation`, and the words that older records have after the name: `None` and all of it
    /// where the name is not one of these.
    #[must_use]
    pub fn of(mediation: &str) -> (Option<Self>, Option<&str>) {
        let (name, words) = match mediation.split_once(", because ") {
            Some((name, words)) => (name, Some(words)),
            None => (mediation, None),
        };
        match [Self::Observed, Self::Strict].into_iter().find(|mode| mode.as_str() == name) {
            Some(mode) => (Some(mode), words),
            None => (None, Some(mediation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mediation_of_records_from_before_the_codes_is_read_with_its_words() {
        let words = "4097 guarded paths are more than 4096";
        let old = format!("strict, because {words}");
        assert_eq!(MediationMode::of(&old), (Some(MediationMode::Strict), Some(words)));
        for mode in [MediationMode::Observed, MediationMode::Strict] {
            assert_eq!(MediationMode::of(mode.as_str()), (Some(mode), None));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        assert_eq!(MediationMode::of("dreamt"), (None, Some("dreamt")));
    }
}
