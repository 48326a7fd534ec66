//! What witnesses add to an answer: whether somebody else would have noticed another log.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use custody_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::durable;
use crate::tlog::{Checkpoint, Judged, Note, TlogPolicy, Verifier};

/// Name of the file with the newest head that the witnesses' quorum cosigned, in the log's directory.
pub const COSIGNED_FILE: &str = "cosigned";

/// How much witnesses stand behind a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WitnessLevel {
    /// Nobody but the installation vouches for its log.
    Unwitnessed,
    /// Witnesses are wanted, and too few of them have cosigned what the answer rests on.
    Pending,
    /// A quorum of witnesses cosigned it.
    Witnessed,
}

/// The same, with who and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessAssurance {
    /// How much.
    pub level: WitnessLevel,
    /// In plain words.
    pub statement: String,
    /// Entries of the log under the newest head that the quorum cosigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When the last of them cosigned that head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The witnesses that cosigned it, by their names in the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<String>,
}

impl Default for WitnessAssurance {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Display for WitnessAssurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statement)
    }
}

/// Puts a cosigned head where readers of the log find it, durably.
///
/// # Errors
/// Those of writing.
pub fn store_cosigned(dir: &Path, note: &Note) -> io::Result<()> {
    durable::replace(&*disk::real(), &dir.join(COSIGNED_FILE), &note.to_bytes())
}

/// Removes it, where no witnesses are wanted any more.
///
/// # Errors
/// Those of removing.
pub fn forget_cosigned(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(COSIGNED_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl WitnessAssurance {
    /// Without witnesses.
    #[must_use]
    pub fn none() -> Self {
        Self {
            level: WitnessLevel::Unwitnessed,
            statement: "unwitnessed: only the installation vouches for its log; whoever holds its key could show different \
                        logs to different people"
                .to_owned(),
            size: None,
            time: None,
            witnesses: Vec::new(),
        }
    }

    fn pending(why: &str) -> Self {
        let statement = format!(
            "not witnessed yet: {why}; until a quorum has cosigned it, only the installation vouches for it"
        );
        Self { level: WitnessLevel::Pending, statement, ..Self::none() }
    }

    /// What stands behind the first `needed` entries of the log `origin` in `dir`, by this policy.
    #[must_use]
    pub fn of(
        dir: &Path,
        origin: &str,
        verifier: &Verifier,
        policy: &TlogPolicy,
        needed: u64,
    ) -> Self {
        if !policy.wants_witnesses() {
            return Self::none();
        }
        let bytes = match fs::read(dir.join(COSIGNED_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::pending("no head of the log was cosigned by enough witnesses");
            }
            Err(error) => {
                return Self::pending(&format!("the cosigned head can't be read ({error})"));
            }
        };
        match Self::judged(&bytes, origin, verifier, policy) {
            Some((size, ..)) if size < needed => Self::pending(&format!(
                "witnesses cosigned the first {size} entries of the log, and this needs {needed}"
            )),
            Some((size, time, witnesses)) => {
                let statement = format!(
                    "witnessed: {} cosigned the first {size} entries of the log by {time}; another log would have been \
                     noticed",
                    witnesses.join(", ")
                );
                let (size, time) = (Some(size), Some(time));
                Self { level: WitnessLevel::Witnessed, statement, size, time, witnesses }
            }
            None => Self::pending("the cosigned head does not hold by the policy"),
        }
    }

    fn judged(
        bytes: &[u8],
        origin: &str,
        verifier: &Verifier,
        policy: &TlogPolicy,
    ) -> Option<(u64, Timestamp, Vec<String>)> {
        let head = Checkpoint::open(bytes, origin, verifier).ok()?;
        let note = Note::parse(bytes).ok()?;
        let Judged { cosigned, enough } = policy.judge(&note).ok()?;
        let last = cosigned.iter().map(|(_, time)| *time).max().filter(|_| enough)?;
        let micros = i64::try_from(last).ok()?.checked_mul(1_000_000)?;
        let names = cosigned.iter().map(|(witness, _)| witness.name.clone()).collect();
        Some((head.size, Timestamp::from_micros(micros), names))
    }
}
