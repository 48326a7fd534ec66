//! How long a server that can't be reached is waited for, and how often it is tried.

use std::time::Duration;

/// A server that never answered this client is waited for this long: it may just be starting, or be misspelt.
pub const FIRST: Duration = Duration::from_secs(2);

/// One that did answer is waited for this long: it is restarted, or upgraded.
pub const LATER: Duration = Duration::from_secs(120);

/// The shortest wait between two tries.
const SHORTEST: Duration = Duration::from_millis(20);

/// The longest.
const LONGEST: Duration = Duration::from_secs(2);

/// How long a server is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Before it ever answered.
    pub first: Duration,
    /// After it did.
    pub later: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: FIRST, later: LATER }
    }
}

/// The waits between the tries of one call: twice as long each time, up to a limit, and in all not longer than the patience.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tries {
    next: Duration,
    left: Duration,
}

impl Tries {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { next: SHORTEST, left: patience }
    }

    /// How long to wait before the next try, at least `wanted`; `None` if that is enough.
    pub(crate) fn next(&mut self, wanted: Duration) -> Option<Duration> {
        if self.left.is_zero() || wanted > self.left {
            return None;
        }
        let wait = self.next.max(wanted).min(self.left);
        self.left -= wait;
        self.next = (self.next * 2).min(LONGEST);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_and_add_up_to_the_patience() {
        let mut tries = Tries::new(Duration::from_secs(10));
        let waits: Vec<_> = std::iter::from_fn(|| tries.next(Duration::ZERO)).collect();
        assert_eq!(waits.iter().sum::<Duration>(), Duration::from_secs(10));
        assert_eq!(waits[..3], [20, 40, 80].map(Duration::from_millis));
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert_eq!(Tries::new(Duration::from_secs(1)).next(Duration::from_secs(5)), None);
    }
}
