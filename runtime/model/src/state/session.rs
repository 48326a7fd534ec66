//! The session: `requested → (awaiting approval) → queued → provisioning → running ⇄ paused → stopping → sealed`, or
//! `refused`, `failed`, `interrupted`, `lost`, each with a reason.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidTransition;
use crate::{LimitName, Timestamp, UserName};

/// Why a session stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StopReason {
    /// Its command ended by itself.
    CommandEnded,
    /// A person stopped it.
    Asked {
        /// Who.
        by: UserName,
    },
    /// It reached a limit, as in `wall_seconds`.
    Limit {
        /// Which.
        limit: LimitName,
    },
    /// An attached client ended it.
    Client,
    /// Its keeper received a signal to terminate.
    KeeperTerminated,
    /// Its record can't be written, so nothing more may happen in it.
    RecordUnwritable,
}

/// Where a session stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum SessionState {
    /// Somebody asked for it; nothing was decided yet.
    Requested {
        /// When.
        at: Timestamp,
    },
    /// The policy wants an approval.
    AwaitingApproval {
        /// When it was asked for.
        requested_at: Timestamp,
        /// Since when it waits.
        since: Timestamp,
    },
    /// It may run, and waits until there is room for it.
    Queued {
        /// Since when.
        since: Timestamp,
        /// Who approved; empty if the policy wants no approval.
        approvers: Vec<UserName>,
    },
    /// It is authorised; workspace and sandbox are being made.
    Provisioning {
        /// Since when.
        since: Timestamp,
        /// Who approved; empty if the policy wants no approval.
        approvers: Vec<UserName>,
    },
    /// Its command runs.
    Running {
        /// Since when, pauses included.
        started_at: Timestamp,
        /// Microseconds that it was paused so far.
        paused_micros: u64,
    },
    /// Its sandbox is frozen.
    Paused {
        /// When its command started.
        started_at: Timestamp,
        /// Microseconds that it was paused before this pause.
        paused_micros: u64,
        /// Since when this pause lasts.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// The process tree is being ended, the workspace compared, the outputs made.
    Stopping {
        /// When its command started.
        started_at: Timestamp,
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: StopReason,
    },
    /// Over, and its record sealed.
    Sealed {
        /// When.
        at: Timestamp,
        /// Why it stopped.
        reason: StopReason,
    },
    /// The policy or an approver refused it; nothing ran.
    Refused {
        /// When.
        at: Timestamp,
        /// The rule and the reason, in words.
        reason: String,
    },
    /// It could not be provisioned, started or ended in order.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
    /// Its keeper died; another process closed the record.
    Interrupted {
        /// When that was found.
        at: Timestamp,
        /// What is known about it.
        reason: String,
    },
    /// A keeper may have run it, and its record is missing: it is never run again. Only backups may have its record.
    Lost {
        /// When that was found.
        at: Timestamp,
        /// The missing part, and what to do, for people.
        reason: String,
    },
}

impl SessionState {
    /// A new session.
    #[must_use]
    pub const fn requested(at: Timestamp) -> Self {
        Self::Requested { at }
    }

    /// The stable name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested { .. } => "requested",
            Self::AwaitingApproval { .. } => "awaiting_approval",
            Self::Queued { .. } => "queued",
            Self::Provisioning { .. } => "provisioning",
            Self::Running { .. } => "running",
            Self::Paused { .. } => "paused",
            Self::Stopping { .. } => "stopping",
            Self::Sealed { .. } => "sealed",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
            Self::Interrupted { .. } => "interrupted",
            Self::Lost { .. } => "lost",
        }
    }

    /// The limit that stopped it.
    #[must_use]
    pub const fn limit(&self) -> Option<LimitName> {
        match self {
            Self::Sealed { reason: StopReason::Limit { limit }, .. }
            | Self::Stopping { reason: StopReason::Limit { limit }, .. } => Some(*limit),
            Self::Sealed { .. }
            | Self::Stopping { .. }
            | Self::Requested { .. }
            | Self::AwaitingApproval { .. }
            | Self::Queued { .. }
            | Self::Provisioning { .. }
            | Self::Running { .. }
            | Self::Paused { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Interrupted { .. }
            | Self::Lost { .. } => None,
        }
    }

    /// Whether nothing more can happen to it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.closed_at().is_some()
    }

    /// When it was over; `None` as long as it is not.
    #[must_use]
    pub const fn closed_at(&self) -> Option<Timestamp> {
        match self {
            Self::Sealed { at, .. }
            | Self::Refused { at, .. }
            | Self::Failed { at, .. }
            | Self::Interrupted { at, .. }
            | Self::Lost { at, .. } => Some(*at),
            Self::Requested { .. }
            | Self::AwaitingApproval { .. }
            | Self::Queued { .. }
            | Self::Provisioning { .. }
            | Self::Running { .. }
            | Self::Paused { .. }
            | Self::Stopping { .. } => None,
        }
    }

    const fn cannot(&self, verb: &'static str) -> InvalidTransition {
        InvalidTransition { machine: "session", from: self.name(), verb }
    }

    /// `requested → awaiting_approval`.
    ///
    /// # Errors
    /// From any other state.
    pub fn await_approval(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Requested { at: requested_at } = self {
            Ok(Self::AwaitingApproval { requested_at, since: at })
        } else {
            Err(self.cannot("wait for an approval"))
        }
    }

    /// `requested`, `awaiting_approval` or `queued → refused`: the policy, an approver or the requester said no.
    ///
    /// # Errors
    /// From any other state.
    pub fn refuse(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        if matches!(
            self,
            Self::Requested { .. } | Self::AwaitingApproval { .. } | Self::Queued { .. }
        ) {
            Ok(Self::Refused { at, reason })
        } else {
            Err(self.cannot("be refused"))
        }
    }

    /// `requested` or `awaiting_approval → queued`, once the policy and all approvers allow it.
    ///
    /// # Errors
    /// From any other state; and without approvers when it was waiting for one.
    pub fn queue(self, at: Timestamp, approvers: Vec<UserName>) -> Result<Self, InvalidTransition> {
        let approved = match &self {
            Self::Requested { .. } => true,
            Self::AwaitingApproval { .. } => !approvers.is_empty(),
            Self::Queued { .. }
            | Self::Provisioning { .. }
            | Self::Running { .. }
            | Self::Paused { .. }
            | Self::Stopping { .. }
            | Self::Sealed { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Interrupted { .. }
            | Self::Lost { .. } => false,
        };
        if approved {
            Ok(Self::Queued { since: at, approvers })
        } else {
            Err(self.cannot("be queued"))
        }
    }

    /// `queued → provisioning`.
    ///
    /// # Errors
    /// From any other state.
    pub fn provision(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Queued { approvers, .. } = self {
            Ok(Self::Provisioning { since: at, approvers })
        } else {
            Err(self.cannot("be provisioned"))
        }
    }

    /// `provisioning → running`.
    ///
    /// # Errors
    /// From any other state.
    pub fn start(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Provisioning { .. } = self {
            Ok(Self::Running { started_at: at, paused_micros: 0 })
        } else {
            Err(self.cannot("start"))
        }
    }

    /// `running → paused`.
    ///
    /// # Errors
    /// From any other state.
    pub fn pause(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        if let Self::Running { started_at, paused_micros } = self {
            Ok(Self::Paused { started_at, paused_micros, since: at, reason })
        } else {
            Err(self.cannot("be paused"))
        }
    }

    /// `paused → running`.
    ///
    /// # Errors
    /// From any other state.
    pub fn resume(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Paused { started_at, paused_micros, since, .. } = self {
            let paused_micros = paused_micros.saturating_add(at.micros_since(since));
            Ok(Self::Running { started_at, paused_micros })
        } else {
            Err(self.cannot("be resumed"))
        }
    }

    /// `running` or `paused → stopping`.
    ///
    /// # Errors
    /// From any other state.
    pub fn stop(self, at: Timestamp, reason: StopReason) -> Result<Self, InvalidTransition> {
        if let Self::Running { started_at, .. } | Self::Paused { started_at, .. } = self {
            Ok(Self::Stopping { started_at, since: at, reason })
        } else {
            Err(self.cannot("be stopped"))
        }
    }

    /// `stopping → sealed`, once the seal is on disk.
    ///
    /// # Errors
    /// From any other state.
    pub fn seal(self, at: Timestamp) -> Result<Self, InvalidTransition> {
        if let Self::Stopping { reason, .. } = self {
            Ok(Self::Sealed { at, reason })
        } else {
            Err(self.cannot("be sealed"))
        }
    }

    /// `queued`, `provisioning`, `running`, `paused` or `stopping → failed`.
    ///
    /// # Errors
    /// Before it was authorised (it is refused then), and once it is over.
    pub fn fail(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        if self.is_under_way() || matches!(self, Self::Queued { .. }) {
            Ok(Self::Failed { at, reason })
        } else {
            Err(self.cannot("fail"))
        }
    }

    /// `provisioning`, `running`, `paused` or `stopping → interrupted`: its keeper died.
    ///
    /// # Errors
    /// While it has no keeper yet, and once it is over.
    pub fn interrupt(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        if self.is_under_way() {
            Ok(Self::Interrupted { at, reason })
        } else {
            Err(self.cannot("be interrupted"))
        }
    }

    /// Anything that can have a record `→ lost`: the record is gone.
    ///
    /// # Errors
    /// Before it was decided that it may run, and again.
    pub fn lose(self, at: Timestamp, reason: String) -> Result<Self, InvalidTransition> {
        let ended = self.is_final() && !matches!(self, Self::Lost { .. });
        if self.is_under_way() || ended {
            Ok(Self::Lost { at, reason })
        } else {
            Err(self.cannot("be lost"))
        }
    }

    const fn is_under_way(&self) -> bool {
        !self.is_final()
            && !matches!(
                self,
                Self::Requested { .. } | Self::AwaitingApproval { .. } | Self::Queued { .. }
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000);
    const LATER: Timestamp = Timestamp::from_micros(5_000);

    fn running() -> SessionState {
        let requested = SessionState::requested(NOW);
        let queued = requested.queue(NOW, Vec::new());
        queued.and_then(|state| state.provision(NOW)).and_then(|state| state.start(NOW)).unwrap()
    }

    fn each() -> [SessionState; 12] {
        let asked = || SessionState::requested(NOW);
        let queued = || asked().queue(NOW, Vec::new()).unwrap();
        let provisioning = || queued().provision(NOW).unwrap();
        let stopping = || running().stop(NOW, StopReason::CommandEnded).unwrap();
        [
            asked(),
            asked().await_approval(NOW).unwrap(),
            queued(),
            provisioning(),
            running(),
            running().pause(NOW, "backlog".to_owned()).unwrap(),
            stopping(),
            stopping().seal(NOW).unwrap(),
            asked().refuse(NOW, "no".to_owned()).unwrap(),
            provisioning().fail(NOW, "no disk".to_owned()).unwrap(),
            running().interrupt(NOW, "killed".to_owned()).unwrap(),
            running().lose(NOW, "no record".to_owned()).unwrap(),
        ]
    }

    /// Which transitions each state has: rows as in [`each`], columns as in the list below.
    #[test]
    fn a_session_has_the_transitions_of_the_design_and_no_others() {
        let approver = || vec!["bob".parse().unwrap()];
        let table = each().map(|state| {
            let after = |result: Result<SessionState, InvalidTransition>| u8::from(result.is_ok());
            [
                after(state.clone().await_approval(LATER)),
                after(state.clone().refuse(LATER, String::new())),
                after(state.clone().queue(LATER, approver())),
                after(state.clone().provision(LATER)),
                after(state.clone().start(LATER)),
                after(state.clone().pause(LATER, String::new())),
                after(state.clone().resume(LATER)),
                after(state.clone().stop(LATER, StopReason::CommandEnded)),
                after(state.clone().seal(LATER)),
                after(state.clone().fail(LATER, String::new())),
                after(state.clone().interrupt(LATER, String::new())),
                after(state.lose(LATER, String::new())),
            ]
        });
        assert_eq!(
            table,
            [
                [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0],
                [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1],
                [0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 1],
                [0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1],
                [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                [0; 12],
            ]
        );
    }

    #[test]
    fn what_is_final_can_only_be_lost_and_its_name_is_the_one_that_is_written() {
        for (at, state) in each().into_iter().enumerate() {
            assert_eq!(state.is_final(), at >= 7, "{state:?}");
            let json = serde_json::to_value(&state).unwrap();
            assert_eq!(json["state"], state.name());
            assert_eq!(serde_json::from_value::<SessionState>(json).unwrap(), state);
        }
    }

    #[test]
    fn who_waits_for_an_approval_does_not_start_without_one() {
        let waiting = SessionState::requested(NOW).await_approval(NOW).unwrap();
        let error = waiting.queue(LATER, Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "a session that is awaiting_approval can't be queued");
    }

    #[test]
    fn pauses_add_up() {
        let mut state = running();
        for _ in 0..2 {
            state = state.pause(NOW, String::new()).and_then(|state| state.resume(LATER)).unwrap();
        }
        assert_eq!(state, SessionState::Running { started_at: NOW, paused_micros: 8_000 });
    }
}
