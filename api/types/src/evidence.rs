//! Evidence packs: what of a record is wanted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is to be disclosed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceQuery {
    /// Numbers of events and ranges of them in ascending order, as in `0-9,15`; all without it. Those that the
    /// attestation repeats, and gaps, are always disclosed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{1,15}(-[0-9]{1,15})?(,[0-9]{1,15}(-[0-9]{1,15})?)*$"))]
    pub events: Option<String>,
    /// Withhold every content: each is named by digest and size alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withhold_content: Option<bool>,
}
