//! How often somebody calls: a token bucket for each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use custody_model::{Timestamp, UserName};

use crate::limits::Limits;

/// Buckets that are kept before full ones are thrown away.
const MANY: usize = 10_000;

/// Whose calls are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// A known user's, whatever their tokens.
    User(UserName),
    /// Those of which it is not known who calls, by address.
    Address(IpAddr),
    /// The same over the Unix socket, by user id.
    Uid(u32),
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Microseconds' worth of calls that may still be made.
    left: u64,
    at: Timestamp,
}

/// The buckets of all callers.
pub(crate) struct Rates {
    /// Microseconds that one call costs.
    cost: u64,
    /// What a full bucket holds.
    full: u64,
    buckets: Mutex<HashMap<Counted, Bucket>>,
}

impl Rates {
    /// With these limits.
    #[must_use]
    pub(crate) fn new(limits: &Limits) -> Self {
        let cost = 60_000_000 / u64::from(limits.requests_per_minute.max(1));
        let cost = cost.max(1);
        Self { cost, full: cost * u64::from(limits.burst.max(1)), buckets: Mutex::default() }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn count(&self, who: Counted, now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY {
            let full = self.full;
            buckets.retain(|_, bucket| bucket.left + now.micros_since(bucket.at) < full);
        }
        let bucket = buckets.entry(who).or_insert(Bucket { left: self.full, at: now });
        bucket.left = (bucket.left + now.micros_since(bucket.at)).min(self.full);
        bucket.at = now;
        match bucket.left.checked_sub(self.cost) {
            Some(left) => {
                bucket.left = left;
                Ok(())
            }
            None => Err(Duration::from_micros(self.cost - bucket.left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate_holds() {
        let limits = Limits { requests_per_minute: 60, burst: 3, ..Limits::default() };
        let rates = Rates::new(&limits);
        let ada = || Counted::User("ada".parse().unwrap());
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        for _ in 0..3 {
            assert_eq!(rates.count(ada(), at(0)), Ok(()));
        }
        assert_eq!(rates.count(ada(), at(0)), Err(Duration::from_secs(1)));
        assert_eq!(rates.count(Counted::Uid(7), at(0)), Ok(()));
        assert_eq!(rates.count(ada(), at(1)), Ok(()));
        assert!(rates.count(ada(), at(1)).is_err());
        // A clock that goes back gives nothing away and takes nothing.
        assert!(rates.count(ada(), at(0)).is_err());
    }
}
