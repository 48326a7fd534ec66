//! How long to wait before the next attempt: exponential, with full jitter, never longer than a limit.

use std::time::Duration;

/// Waiting times.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first is at most this long.
    pub first: Duration,
    /// None is longer.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The time before attempt `failed` + 1. `random` decides where between half of the bound and the bound it lies, so
    /// that destinations that failed together do not come back together.
    #[must_use]
    pub fn wait(&self, failed: u32, random: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(1 << doublings).min(self.longest);
        let half = bound / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// The same, but not before the time that the receiver asked for, as long as that is within the limit.
    #[must_use]
    pub fn wait_for(&self, failed: u32, random: u32, asked: Option<Duration>) -> Duration {
        self.wait(failed, random).max(asked.unwrap_or_default().min(self.longest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_double_up_to_the_limit() {
        let backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };
        let longest: Vec<u64> = (1..=7).map(|n| backoff.wait(n, u32::MAX).as_secs()).collect();
        assert_eq!(longest, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.wait(1, 0), Duration::from_secs(1));
        assert_eq!(backoff.wait_for(1, 0, Some(Duration::from_secs(20))).as_secs(), 20);
        assert_eq!(backoff.wait_for(1, 0, Some(Duration::from_secs(4000))).as_secs(), 60);
    }

    proptest! {
        #[test]
        fn no_time_is_longer_than_the_limit_or_nothing(failed in 1..u32::MAX, random: u32) {
            let wait = Backoff::default().wait(failed, random);
            prop_assert!(wait <= Backoff::default().longest && wait >= Duration::from_millis(499));
        }
    }
}
