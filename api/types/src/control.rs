//! The control log, to read.

use custody_record::control::ControlEvent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which events of the control log are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlQuery {
    /// From this event on; the first without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// At most so many; the server's default without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = crate::page::MAX_PAGE))]
    pub limit: Option<u32>,
}

/// A part of the control log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlPage {
    /// The events in their order.
    pub items: Vec<ControlEvent>,
    /// The number of the next event, to be given as `from`; absent if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
