//! The head of every verdict: what record and evidence have in common.

use custody_model::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::witness::WitnessLevel;

/// Whether what is there is what was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Integrity {
    /// Nothing was found that was changed, removed, added or moved.
    Intact,
    /// Something was: the findings name it.
    Broken,
}

/// Whether everything that happened is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// The record is closed and sealed, and tells of no gap.
    Complete,
    /// Something is known to be missing: the findings name it.
    Incomplete,
    /// The session is not closed yet, or its keeper died and nobody closed its record.
    Open,
}

/// Where the key that was checked with came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// Whoever asked gave it.
    Given,
    /// It is the key of this installation.
    Installation,
    /// What was checked named it: this shows that it is consistent, not whose it is.
    Record,
    /// There was none.
    Absent,
}

impl KeySource {
    /// In words; `of` is what was checked.
    pub(crate) fn words(self, of: &str) -> String {
        match self {
            Self::Given => "given by you".to_owned(),
            Self::Installation => "of this installation".to_owned(),
            Self::Record => format!("taken from the {of} itself: it shows consistency, not origin"),
            Self::Absent => "none".to_owned(),
        }
    }
}

/// The verdicts, which do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Is what is there what was recorded?
    pub integrity: Integrity,
    /// Is everything there?
    pub completeness: Completeness,
    /// Who but the installation vouches for it?
    pub witnesses: WitnessLevel,
}

impl Verdict {
    /// Intact and complete. Whether that is enough without witnesses is for a policy to say.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.integrity == Integrity::Intact && self.completeness == Completeness::Complete
    }

    /// What is wrong first: integrity, then completeness, then, if witnesses are `wanted`, what they vouch for. `None` if
    /// nothing is.
    #[must_use]
    pub fn failure(self, wanted: bool) -> Option<ErrorCode> {
        let witnessed = match self.witnesses {
            WitnessLevel::Witnessed => true,
            WitnessLevel::Unwitnessed
            | WitnessLevel::Unchecked
            | WitnessLevel::QuorumNotMet
            | WitnessLevel::InvalidCosignature => false,
        };
        match (self.integrity, self.completeness) {
            (Integrity::Broken, _) => Some(ErrorCode::VerificationFailed),
            (Integrity::Intact, Completeness::Incomplete | Completeness::Open) => {
                Some(ErrorCode::RecordIncomplete)
            }
            (Integrity::Intact, Completeness::Complete) => {
                (wanted && !witnessed).then_some(ErrorCode::Unwitnessed)
            }
        }
    }
}
