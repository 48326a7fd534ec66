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
    /// Whose cosignatures count was not said: names are shown as they are claimed.
    Unchecked,
    /// Witnesses are wanted, and too few of them have cosigned what the answer rests on.
    QuorumNotMet,
    /// A line that should be a witness's cosignature is not.
    InvalidCosignature,
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
    /// Entries of the log under the head that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When the last of the witnesses cosigned that head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The witnesses that cosigned it, by their names in the policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<String>,
    /// Names on that head that are not the log's own, whoever wrote them. They vouch for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<String>,
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
        let statement = "unwitnessed: only the installation vouches for its log; whoever holds its key could show different \
                         logs to different people";
        Self::of_level(WitnessLevel::Unwitnessed, statement.to_owned())
    }

    fn of_level(level: WitnessLevel, statement: String) -> Self {
        let (witnesses, claimed) = (Vec::new(), Vec::new());
        Self { level, statement, size: None, time: None, witnesses, claimed }
    }

    /// Wanted, and not there.
    pub(crate) fn missing(why: &str) -> Self {
        let statement = format!(
            "quorum not met: {why}; until a quorum has cosigned it, only the installation vouches for it"
        );
        Self::of_level(WitnessLevel::QuorumNotMet, statement)
    }

    /// Wanted, and there is nothing yet that they could have cosigned.
    #[must_use]
    pub fn not_yet() -> Self {
        Self::missing("no head of the session is in the installation log yet")
    }

    /// Nobody said whose cosignatures count.
    fn unchecked(claimed: Vec<String>) -> Self {
        let names = claimed.join(", ");
        let statement = format!(
            "not checked: lines with the names {names} are under the head, which anybody could have written; a policy says \
             whose cosignatures count"
        );
        Self { claimed, ..Self::of_level(WitnessLevel::Unchecked, statement) }
    }

    /// Whether there was anything to look at depends on what was given.
    pub(crate) fn not_looked_for(policy: Option<&TlogPolicy>) -> Self {
        match policy {
            Some(policy) if policy.wants_witnesses() => Self::missing(
                "no head of the installation log is there to look for cosignatures under",
            ),
            Some(_) => Self::none(),
            None => {
                let statement = "not checked: neither a policy nor an installation log was given";
                Self::of_level(WitnessLevel::Unchecked, statement.to_owned())
            }
        }
    }

    /// What stands behind the first `needed` entries of the log `origin` in `dir`, by this policy. Without one nobody's keys
    /// are known.
    #[must_use]
    pub fn of(
        dir: &Path,
        origin: &str,
        verifier: &Verifier,
        policy: Option<&TlogPolicy>,
        needed: u64,
    ) -> Self {
        Self::of_published(dir, origin, verifier, policy).as_far_as(needed)
    }

    /// The same of all that the log's published head covers.
    #[must_use]
    pub fn of_published(
        dir: &Path,
        origin: &str,
        verifier: &Verifier,
        policy: Option<&TlogPolicy>,
    ) -> Self {
        if policy.is_some_and(|policy| !policy.wants_witnesses()) {
            return Self::none();
        }
        let bytes = match fs::read(dir.join(COSIGNED_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && policy.is_none() => {
                return Self::none();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::missing("no head of the log was cosigned by enough witnesses");
            }
            Err(error) => {
                return Self::missing(&format!("the cosigned head can't be read ({error})"));
            }
        };
        Self::of_head(&bytes, origin, verifier, policy)
    }

    /// What it says about the first `needed` entries of the log.
    #[must_use]
    pub fn as_far_as(self, needed: u64) -> Self {
        if let Some(size) = self.size.filter(|size| *size < needed)
            && self.level == WitnessLevel::Witnessed
        {
            return Self::missing(&format!(
                "witnesses cosigned the first {size} entries of the log, and this needs {needed}"
            ));
        }
        self
    }

    /// What stands behind a signed head of the log `origin`. A cosignature of a witness of the policy that does not fit makes
    /// it worthless, however many others there are (C2SP signed-note).
    #[must_use]
    pub fn of_head(
        head: &[u8],
        origin: &str,
        verifier: &Verifier,
        policy: Option<&TlogPolicy>,
    ) -> Self {
        let opened = Checkpoint::open(head, origin, verifier)
            .and_then(|checkpoint| Ok((checkpoint, Note::parse(head)?)));
        let (head, note) = match opened {
            Ok(opened) => opened,
            Err(error) => return Self::missing(&format!("the head can't be believed ({error})")),
        };
        let own = [head.origin.as_str(), verifier.name()];
        let others = note.signatures().iter().filter(|line| !own.contains(&&*line.name));
        let mut claimed: Vec<String> = others.map(|line| line.name.clone()).collect();
        claimed.dedup();
        let Some(policy) = policy else {
            return if claimed.is_empty() { Self::none() } else { Self::unchecked(claimed) };
        };
        if !policy.wants_witnesses() {
            return Self::none();
        }
        let log = verifier.named(origin);
        if !policy.accepts(&log) {
            let what = format!("the policy names other logs than {}", log.id());
            return Self { claimed, ..Self::missing(&what) };
        }
        match policy.judge(&note) {
            Ok(judged) => Self { claimed, ..Self::judged(head.size, &judged) },
            Err(error) => {
                let wrong = policy.witnesses().iter().find(|w| w.cosigner.cosigned(&note).is_err());
                let name = wrong.map_or("a witness", |witness| &witness.name);
                let statement = format!(
                    "INVALID COSIGNATURE of {name}: {error}; whoever put it there forged it or damaged it"
                );
                Self { claimed, ..Self::of_level(WitnessLevel::InvalidCosignature, statement) }
            }
        }
    }

    fn judged(size: u64, Judged { cosigned, enough }: &Judged<'_>) -> Self {
        let witnesses: Vec<String> = cosigned.iter().map(|(w, _)| w.name.clone()).collect();
        let names = match witnesses.is_empty() {
            true => "nobody of the policy".to_owned(),
            false => witnesses.join(", "),
        };
        let last = cosigned.iter().map(|(_, time)| *time).max();
        let micros = last.and_then(|last| i64::try_from(last).ok()?.checked_mul(1_000_000));
        let time = micros.map(Timestamp::from_micros);
        let base = match (enough, time) {
            (true, Some(time)) => {
                let statement = format!(
                    "witnessed (quorum met: {names}): they cosigned the first {size} entries of the log by {time}; another \
                     log would have been noticed"
                );
                Self::of_level(WitnessLevel::Witnessed, statement)
            }
            (true, None) | (false, _) => Self::missing(&format!(
                "{names} cosigned the first {size} entries of the log, which is not enough by the policy"
            )),
        };
        Self { size: Some(size), time, witnesses, ..base }
    }
}
