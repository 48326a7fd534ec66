//! What sessions can run in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that sessions can run in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its name: `host` is the server's own file system.
    pub name: String,
}
