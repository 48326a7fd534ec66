//! `retention`: how the content of sessions is erased whose retention class has ended. The classes are the policies'.

use custody_policy::quantity::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::{section, with_unit};

/// Most sessions that one pass may erase.
const BATCH: u32 = 10_000;

const DAY: u64 = 86_400;

/// How the content of sessions is erased whose retention class has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Whether the server does it by itself. Without it, `custody sweep` does.
    pub sweep: bool,
    /// How often it is looked what is due: 1s to 30d.
    #[serde(serialize_with = "with_unit")]
    pub sweep_interval: Seconds,
    /// Most sessions that one pass erases, those first whose class ended first.
    #[schemars(range(min = 1, max = BATCH))]
    pub sweep_batch: u32,
    /// How far the clock may be ahead of the newest moment that is known to have been: 1h to 366d. A pass is refused beyond it,
    /// so that a clock that jumped does not erase everything.
    #[serde(serialize_with = "with_unit")]
    pub clock_lead: Seconds,
}

section!("retention": Retention { sweep, sweep_interval, sweep_batch, clock_lead });

impl Default for Retention {
    fn default() -> Self {
        Self {
            sweep: true,
            sweep_interval: Seconds(3_600),
            sweep_batch: 100,
            clock_lead: Seconds(7 * DAY),
        }
    }
}

impl Retention {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.duration("retention.sweep_interval", self.sweep_interval, 1..=30 * DAY);
        check.number("retention.sweep_batch", self.sweep_batch, 1..=BATCH);
        check.duration("retention.clock_lead", self.clock_lead, 3_600..=366 * DAY);
    }
}
