//! `observe`: what of a session is looked at, and how closely.

use custody_keeper::run::DEFAULT_HASHED_OUTSIDE;
use custody_policy::quantity::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::{section, with_unit};

/// Which files of a session are observed, and how closely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Observe {
    /// The largest file outside of the workspace whose content is hashed: 1KiB to 16GiB. For a larger one the record has the
    /// size and `too_large` instead of a digest.
    #[serde(serialize_with = "with_unit")]
    pub outside_file: Size,
}

section!("observe": Observe { outside_file });

impl Default for Observe {
    fn default() -> Self {
        Self { outside_file: Size(DEFAULT_HASHED_OUTSIDE) }
    }
}

impl Observe {
    /// The settings as they would stand in the file, for a process that this one starts.
    pub fn exposed(&self) -> [(&'static str, String); 1] {
        [("outside_file", self.outside_file.to_string())]
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.size("observe.outside_file", self.outside_file, (1 << 10)..=(16 << 30));
    }
}
