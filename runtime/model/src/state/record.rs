//! The record: `open ⇄ degraded → closing → sealed`, or `abandoned` (its writer died) and then `closing`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidTransition;
use crate::{Digest, Timestamp};

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum RecordState {
    /// Its writer appends to it.
    Open {
        /// Since when.
        since: Timestamp,
    },
    /// It can't be written: every effect is refused meanwhile.
    Degraded {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// Nothing but the closing events is appended any more.
    Closing {
        /// Since when.
        since: Timestamp,
        /// Another process than its writer closes it.
        recovered: bool,
    },
    /// Its seal is on disk. Nothing can be added.
    Sealed {
        /// When.
        at: Timestamp,
        /// Number of events.
        size: u64,
        /// Root of the session's log (RFC 6962).
        root: Digest,
        /// Another process than its writer closed it.
        recovered: bool,
    },
    /// Its writer died before it was sealed.
    Abandoned {
        /// When that was found.
        at: Timestamp,
        /// What is known about it.
        reason: String,
    },
}

impl RecordState {
    /// A new record.
    #[must_use]
    pub const fn open(at: Timestamp) -> Self {
        Self::Open { since: at }
    }

    /// The stable name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Degraded { .. } => "degraded",
            Self::Closing { .. } => "closing",
            Self::Sealed { .. } => "sealed",
            Self::Abandoned { .. } => "abandoned",
        }
    }

    /// Whether an effect may leave the sandbox in this state.
    #[must_use]
    pub const fn allows_effects(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Closing { .. } => true,
            Self::Degraded { .. } | Self::Sealed { .. } | Self::Abandoned { .. } => false,
        }
    }

    const fn cannot(&self, verb: &'static str) -> InvalidTransition {
        InvalidTransition { machine: "record", from: self.name(), verb }
    }

    /// `open → degraded`.
    ///
    /// # Errors
    /// From any other state.
    pub fn degrade(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        if let Self::Open { .. } = self {
            Ok(Self::Degraded { since: at, reason })
        } else {
            Err(self.cannot("be degraded"))
        }
    }

    /// `degraded → open`.
    ///
    /// # Errors
    /// From any other state.
    pub fn restore(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Degraded { .. } = self {
            Ok(Self::Open { since: at })
        } else {
            Err(self.cannot("be restored"))
        }
    }

    /// `open → closing` by its writer, `abandoned → closing` by another process.
    ///
    /// # Errors
    /// From any other state.
    pub fn close(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Open { .. } => Ok(Self::Closing { since: at, recovered: false }),
            Self::Abandoned { .. } => Ok(Self::Closing { since: at, recovered: true }),
            Self::Degraded { .. } | Self::Closing { .. } | Self::Sealed { .. } => {
                Err(self.cannot("be closed"))
            }
        }
    }

    /// `closing → sealed`.
    ///
    /// # Errors
    /// From any other state.
    pub fn seal(self, at: Timestamp, size: u64, root: Digest) -> Result<Self, InvalidTransition> {
        if let Self::Closing { recovered, .. } = self {
            Ok(Self::Sealed { at, size, root, recovered })
        } else {
            Err(self.cannot("be sealed"))
        }
    }

    /// Any state but `sealed → abandoned`.
    ///
    /// # Errors
    /// From `sealed`, and when it is abandoned already.
    pub fn abandon(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        match self {
            Self::Open { .. } | Self::Degraded { .. } | Self::Closing { .. } => {
                Ok(Self::Abandoned { at, reason })
            }
            Self::Sealed { .. } | Self::Abandoned { .. } => Err(self.cannot("be abandoned")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1);

    #[test]
    fn a_record_has_the_transitions_of_the_design_and_no_others() {
        let open = || RecordState::open(NOW);
        let closing = || open().close(NOW).unwrap();
        let states = [
            open(),
            open().degrade(NOW, "disk full".to_owned()).unwrap(),
            closing(),
            closing().seal(NOW, 7, Digest::of(b"")).unwrap(),
            open().abandon(NOW, "killed".to_owned()).unwrap(),
        ];
        let table = states.map(|state| {
            assert_eq!(serde_json::to_value(&state).unwrap()["state"], state.name());
            let after = |result: Result<RecordState, InvalidTransition>| u8::from(result.is_ok());
            [
                after(state.clone().degrade(NOW, String::new())),
                after(state.clone().restore(NOW)),
                after(state.clone().close(NOW)),
                after(state.clone().seal(NOW, 1, Digest::of(b""))),
                after(state.clone().abandon(NOW, String::new())),
                u8::from(state.allows_effects()),
            ]
        });
        assert_eq!(
            table,
            [
                [1, 0, 1, 0, 1, 1],
                [0, 1, 0, 0, 1, 0],
                [0, 0, 0, 1, 1, 1],
                [0, 0, 0, 0, 0, 0],
                [0, 0, 1, 0, 0, 0],
            ]
        );
    }

    #[test]
    fn a_seal_tells_whether_another_process_closed_the_record() {
        let abandoned = RecordState::open(NOW).abandon(NOW, "killed".to_owned()).unwrap();
        let sealed = abandoned.close(NOW).and_then(|state| state.seal(NOW, 3, Digest::of(b"")));
        assert!(matches!(sealed, Ok(RecordState::Sealed { recovered: true, size: 3, .. })));
    }
}
