//! `state`: where the installation lives.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::section;

/// Where the installation lives, if nothing says otherwise.
pub const DIRECTORY: &str = "/var/lib/custody";

/// Where the installation lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Keys, mirrors, sessions, records and logs: an absolute path. `--state` and CUSTODY_STATE win over it.
    pub directory: PathBuf,
}

section!("state": State { directory });

impl Default for State {
    fn default() -> Self {
        Self { directory: DIRECTORY.into() }
    }
}

impl State {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.absolute("state.directory", &self.directory);
    }
}
