//! `limits`: what one caller, and all of them, may ask of the API.

use custody_policy::quantity::{Seconds, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::{section, with_unit};

/// What one caller, and all of them, may ask of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest body of a request: 1KiB to 64MiB.
    #[serde(serialize_with = "with_unit")]
    pub body: Size,
    /// Items on a page for who does not say how many they want; not above `page_max`.
    #[schemars(range(min = 1, max = 10_000))]
    pub page_default: u32,
    /// Most items on a page.
    #[schemars(range(min = 1, max = 10_000))]
    pub page_max: u32,
    /// Requests of one caller in a minute, in the long run.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: u32,
    /// Requests of one caller at once, before the rate counts.
    #[schemars(range(min = 1, max = 100_000))]
    pub burst: u32,
    /// Event streams that are open at one time.
    #[schemars(range(min = 1, max = 100_000))]
    pub streams: u32,
    /// Event streams of one caller that are open at one time; `streams` holds as well.
    #[schemars(range(min = 1, max = 100_000))]
    pub streams_per_caller: u32,
    /// How long a request may take, event streams apart: 1s to 10m.
    #[serde(serialize_with = "with_unit")]
    pub request_time: Seconds,
}

section!("limits": Limits {
    body, page_default, page_max, requests_per_minute, burst, streams, streams_per_caller, request_time,
});

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: Size(4 << 20),
            page_default: 100,
            page_max: 500,
            requests_per_minute: 1_200,
            burst: 200,
            streams: 1_000,
            streams_per_caller: 50,
            request_time: Seconds(30),
        }
    }
}

impl Limits {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.size("limits.body", self.body, (1 << 10)..=(64 << 20));
        check.number("limits.page_default", self.page_default, 1..=10_000);
        check.number("limits.page_max", self.page_max, 1..=10_000);
        if self.page_default > self.page_max {
            // The one that was written is the one to go to.
            let field = match check.is_default("limits.page_default") {
                true => "limits.page_max",
                false => "limits.page_default",
            };
            check.refuse(
                field,
                format!(
                    "limits.page_default is {} and limits.page_max {}: the default is at most the maximum",
                    self.page_default, self.page_max
                ),
            );
        }
        check.number("limits.requests_per_minute", self.requests_per_minute, 1..=1_000_000);
        check.number("limits.burst", self.burst, 1..=100_000);
        check.number("limits.streams", self.streams, 1..=100_000);
        check.number("limits.streams_per_caller", self.streams_per_caller, 1..=100_000);
        check.duration("limits.request_time", self.request_time, 1..=600);
    }
}
