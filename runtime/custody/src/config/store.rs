//! `store`: the database of the index. What is in it can be made anew from the logs.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::section;

/// The database of the index. What is in it can be made anew from the logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Which database.
    pub kind: StoreKind,
    /// The database's file, on a local file system. Default: `store.sqlite` in the state directory.
    pub path: PathBuf,
    /// Connections that read at one time; one more writes.
    #[schemars(range(min = 1, max = 64))]
    pub connections: u32,
}

/// Which database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// SQLite, inside the server's process.
    #[default]
    Sqlite,
}

section!("store": Store { kind, path, connections });

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::default(),
            path: Self::path_in(Path::new(super::state::DIRECTORY)),
            connections: 4,
        }
    }
}

impl Store {
    /// The database of an installation.
    pub(super) fn path_in(state: &Path) -> PathBuf {
        state.join("store.sqlite")
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        if !check.is_default("store.path") {
            check.absolute("store.path", &self.path);
        }
        check.number("store.connections", self.connections, 1..=64);
    }
}
