//! The head of every verdict: what record and evidence have in common.

use std::fmt;

use custody_model::ErrorCode;
use custody_model::error::{EXIT_KEY_UNVOUCHED, EXIT_OK};
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
    /// The server from which the record was downloaded names it.
    Server,
    /// What was checked named it: this shows that it is consistent, not whose it is.
    Record,
    /// There was none.
    Absent,
}

impl KeySource {
    /// Whether the key came from anywhere but the checked record itself.
    #[must_use]
    pub const fn is_vouched_for(self) -> bool {
        match self {
            Self::Given | Self::Installation | Self::Server => true,
            Self::Record | Self::Absent => false,
        }
    }

    /// In words; `of` is what was checked.
    pub(crate) fn words(self, of: &str) -> String {
        match self {
            Self::Given => "given by you".to_owned(),
            Self::Installation => "of this installation".to_owned(),
            Self::Server => "named by the server".to_owned(),
            Self::Record => format!("taken from the {of} itself: it shows consistency, not origin"),
            Self::Absent => "none".to_owned(),
        }
    }
}

/// How far the contents that events name were checked, if nothing is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Contents {
    /// Some are sealed, no key was given, and the events do not name their files: those were not checked.
    #[default]
    Unchecked,
    /// The events name none.
    None,
    /// Every content was opened and compared with its digest.
    Opened,
    /// The stored files are the recorded ones; some are sealed and were not opened, because no key was given.
    Stored,
    /// Some are withheld from the pack; the others were compared with their digests.
    Withheld,
    /// Some were erased, as a genuine note states; the others are what was recorded.
    Erased,
}

/// The verdicts, which do not mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Is what is there what was recorded?
    pub integrity: Integrity,
    /// Is everything there?
    pub completeness: Completeness,
    /// Where the key of this verdict came from.
    pub key: KeySource,
    /// How far the contents were checked.
    pub contents: Contents,
    /// Who but the installation vouches for it?
    pub witnesses: WitnessLevel,
}

impl Verdict {
    /// Intact and complete. Whether that is enough without witnesses is for a policy to say.
    #[must_use]
    pub fn is_good(self) -> bool {
        self.integrity == Integrity::Intact && self.completeness == Completeness::Complete
    }

    /// The first failure: of integrity, then of completeness, then, if witnesses are `wanted`, of their cosignatures. `None` if there is none.
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

impl Verdict {
    /// The exit code that says so: that of [`Verdict::failure`], after integrity and completeness one of its own for a key that
    /// nobody vouched for.
    #[must_use]
    pub fn exit_code(self, wanted: bool) -> u8 {
        match (self.failure(false), self.failure(wanted)) {
            (Some(failure), _) => failure.exit_code(),
            (None, _) if !self.key.is_vouched_for() => EXIT_KEY_UNVOUCHED,
            (None, Some(failure)) => failure.exit_code(),
            (None, None) => EXIT_OK,
        }
    }
}

impl fmt::Display for Verdict {
    /// The first line that a reader sees: it has everything that the verdict depends on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.integrity, self.completeness) {
            (Integrity::Broken, _) => "BROKEN: this is not what was recorded",
            (Integrity::Intact, Completeness::Complete) => "intact and complete",
            (Integrity::Intact, Completeness::Incomplete) => "intact, but INCOMPLETE",
            (Integrity::Intact, Completeness::Open) => "intact as far as it goes, and open",
        })?;
        f.write_str(match self.key {
            KeySource::Given => ", by the key that you gave",
            KeySource::Installation => ", by the key of this installation",
            KeySource::Server => ", by the key that the server names",
            KeySource::Record => ", by a key that nobody vouched for",
            KeySource::Absent => ", without a key that vouches for it",
        })?;
        f.write_str(match self.contents {
            Contents::Unchecked => "; CONTENTS WERE NOT CHECKED",
            Contents::None => "; it has no contents",
            Contents::Opened => "; contents are what was recorded",
            Contents::Stored => "; contents are stored as recorded, and were not opened",
            Contents::Withheld => "; some contents are withheld",
            Contents::Erased => "; some contents were erased",
        })
    }
}
