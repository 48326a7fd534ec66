//! `queue`: how many sessions run, and how many wait in line.

use std::num::NonZeroUsize;

use custody_policy::quantity::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::section::{section, with_unit};

/// Most sessions that may run on one machine.
const RUNNING: u32 = 10_000;
/// Most sessions that may wait.
const WAITING: u32 = 1_000_000;

/// How many sessions run, and how many wait in line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// Sessions that run at one time on this machine. Default: ten for each processor core, and at least 20.
    #[schemars(range(min = 1, max = RUNNING))]
    pub running: u32,
    /// Sessions of one user that run at one time; `running` holds as well.
    #[schemars(range(min = 1, max = RUNNING))]
    pub running_per_user: u32,
    /// Sessions of one project that run at one time; `running` holds as well.
    #[schemars(range(min = 1, max = RUNNING))]
    pub running_per_project: u32,
    /// Sessions of one user that wait in line; more are refused.
    #[schemars(range(min = 1, max = WAITING))]
    pub waiting_per_user: u32,
    /// Sessions that wait in line; more are refused.
    #[schemars(range(min = 1, max = WAITING))]
    pub waiting: u32,
    /// How long a server owns a session without renewing it: 5s to 1h. After that another one may take it over.
    #[serde(serialize_with = "with_unit")]
    pub lease: Seconds,
}

section!("queue": Queue {
    running, running_per_user, running_per_project, waiting_per_user, waiting, lease,
});

impl Default for Queue {
    fn default() -> Self {
        Self {
            running: 20,
            running_per_user: 20,
            running_per_project: 20,
            waiting_per_user: 500,
            waiting: 5_000,
            lease: Seconds(30),
        }
    }
}

impl Queue {
    /// How many sessions run on a machine with so many cores, if nothing else is said.
    pub(super) fn running_on(cores: NonZeroUsize) -> u32 {
        let cores = u32::try_from(cores.get()).unwrap_or(RUNNING);
        cores.saturating_mul(10).clamp(20, RUNNING)
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.number("queue.running", self.running, 1..=RUNNING);
        check.number("queue.running_per_user", self.running_per_user, 1..=RUNNING);
        check.number("queue.running_per_project", self.running_per_project, 1..=RUNNING);
        check.number("queue.waiting_per_user", self.waiting_per_user, 1..=WAITING);
        check.number("queue.waiting", self.waiting, 1..=WAITING);
        check.duration("queue.lease", self.lease, 5..=3_600);
    }
}
