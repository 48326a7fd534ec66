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
    /// A person or a client asked for it.
    Asked,
    /// It reached a limit; which one stands beside it.
    LimitReached,
    /// The keeper's process was told to end.
    KeeperTerminated,
    /// The record could not be written: nothing more was allowed to happen.
    RecordUnwritable,
    /// The policy or an approver refused it.
    Refused,
    /// The sandbox could not be made.
    NotProvisioned,
    /// A step before or after the command could not be done, as making the workspace or comparing it with the record.
    StepFailed,
    /// The recording of the terminal could not be finished.
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
    /// An event had no room in the record.
    EventTooLong,
    /// The observer of the workspace missed something.
    FilesUnobserved,
    /// What git opened of its objects was missed.
    ObjectsUnobserved,
    /// The comparison of the workspace with the record left something out.
    NotCompared,
    /// The diff is longer than its limit.
    DiffCut,
    /// Notices of execs, connections and names could not be received or answered.
    NoticesLost,
    /// The memory of a process that asked for something could not be read.
    ProcessUnreadable,
    /// Which file was opened to be run is not known.
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
    /// An observer saw what happened on an overlay; guarded paths were decided.
    Observed,
    /// The guard decided everything.
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
