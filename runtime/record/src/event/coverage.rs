//! Coverage: which places of a session the record tells of, and how completely.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How completely one place was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// Everything was observed.
    Complete,
    /// Some kinds of access are not observed, by design; `deploy/threat-model.md` lists them.
    Partial,
    /// A `recorder.gap` names what is missing.
    Gaps,
    /// Not observed in this session.
    Absent,
}

impl Coverage {
    /// Its name for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Gaps => "GAPS",
            Self::Absent => "absent",
        }
    }
}

/// A place that coverage names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The checkout at `/workspace`, its `.git` directory included.
    Workspace,
    /// The repository's objects: what is read of its history without a file of the workspace.
    GitObjects,
    /// The writable directories outside of the workspace: `/tmp`, `/var/tmp`, `/run`, `/dev/shm` and the home.
    Scratch,
    /// The read-only root below everything else.
    Image,
    /// Which programs were run.
    Processes,
    /// Attempts to reach something outside.
    Network,
    /// The terminal's stream.
    Terminal,
    /// Calls of models.
    Models,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 8] = [
        Self::Workspace,
        Self::GitObjects,
        Self::Scratch,
        Self::Image,
        Self::Processes,
        Self::Network,
        Self::Terminal,
        Self::Models,
    ];

    /// The name of the workspace in records from before coverage named its places.
    const FORMER_WORKSPACE: &'static str = "files";

    /// Its name in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::GitObjects => "git_objects",
            Self::Scratch => "scratch",
            Self::Image => "image",
            Self::Processes => "processes",
            Self::Network => "network",
            Self::Terminal => "terminal",
            Self::Models => "models",
        }
    }

    /// The coverage of all places, as a record states it.
    #[must_use]
    pub fn coverage(of: impl Fn(Self) -> Coverage) -> BTreeMap<String, Coverage> {
        Self::ALL.map(|place| (place.as_str().to_owned(), of(place))).into()
    }

    /// A record's statement, with today's names. Records from before coverage named its places have `files` for the workspace;
    /// the coverage of a place that is absent is unknown.
    #[must_use]
    pub fn named(stated: &BTreeMap<String, Coverage>) -> BTreeMap<String, Coverage> {
        let today = |name: &String| match name.as_str() {
            Self::FORMER_WORKSPACE => Self::Workspace.as_str().to_owned(),
            _ => name.clone(),
        };
        stated.iter().map(|(name, coverage)| (today(name), *coverage)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_says_files_tells_of_the_workspace_alone() {
        let stated = BTreeMap::from([
            ("files".to_owned(), Coverage::Complete),
            ("models".to_owned(), Coverage::Absent),
        ]);
        let expected = BTreeMap::from([
            ("workspace".to_owned(), Coverage::Complete),
            ("models".to_owned(), Coverage::Absent),
        ]);
        assert_eq!(Place::named(&stated), expected);
        assert_eq!(Place::named(&expected), expected);
    }

    #[test]
    fn coverage_states_every_place() {
        let stated = Place::coverage(|_| Coverage::Absent);
        assert_eq!(stated.len(), Place::ALL.len());
        assert!(!stated.contains_key(Place::FORMER_WORKSPACE));
    }
}
