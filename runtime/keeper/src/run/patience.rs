//! How long a session that ends waits for a disk that refuses what it has to write.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a session that ends waits for a disk, if nothing says otherwise.
pub const DEFAULT_DISK_WAIT: Duration = Duration::from_secs(600);

/// Time between two attempts to write what the disk refused.
pub(crate) const RETRY: Duration = Duration::from_millis(250);

/// How long it is waited for the disk at a session's end; `None` is without end. No one tells when a disk has room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskWaits {
    /// For the outputs: then there are none, and the record says so.
    pub outputs: Option<Duration>,
    /// For the end of the record: then the keeper ends without it, and who finds the record closes it as interrupted.
    pub end: Option<Duration>,
}

impl Default for DiskWaits {
    fn default() -> Self {
        Self { outputs: Some(DEFAULT_DISK_WAIT), end: Some(DEFAULT_DISK_WAIT) }
    }
}

/// It was waited for as long as the configuration allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it waited {} s for the disk, as long as {setting} allows", .limit.as_secs())]
pub struct Spent {
    /// Which field of the configuration.
    pub setting: &'static str,
    /// How long.
    pub limit: Duration,
}

/// One of the waits, for all who wait in it. It counts from the first refusal, and anew once the disk took something.
#[derive(Debug)]
pub(crate) struct Patience {
    setting: &'static str,
    limit: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: bool,
    since: Option<Instant>,
}

impl Patience {
    /// One that does not count before [`Patience::begin`].
    pub(crate) fn new(setting: &'static str, limit: Option<Duration>) -> Self {
        Self { setting, limit, state: Mutex::default() }
    }

    /// From here on it counts.
    pub(crate) fn begin(&self) {
        self.lock().begun = true;
    }

    /// The disk took something.
    pub(crate) fn healed(&self) {
        self.lock().since = None;
    }

    /// Waits for another attempt.
    ///
    /// # Errors
    /// If it has waited long enough.
    pub(crate) fn rest(&self, pause: Duration) -> Result<(), Spent> {
        let pause = match self.left()? {
            Some(left) => pause.min(left),
            None => pause,
        };
        // No one tells when a disk has room again.
        thread::park_timeout(pause);
        Ok(())
    }

    /// How long there is still; `None` without end.
    ///
    /// # Errors
    /// If it has waited long enough.
    pub(crate) fn left(&self) -> Result<Option<Duration>, Spent> {
        let mut state = self.lock();
        let Some(limit) = self.limit.filter(|_| state.begun) else { return Ok(None) };
        let waited = state.since.get_or_insert_with(Instant::now).elapsed();
        match limit.checked_sub(waited) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            Some(_) | None => Err(Spent { setting: self.setting, limit }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_first_refusal_and_anew_once_the_disk_took_something() {
        let limit = Duration::from_millis(20);
        let patience = Patience::new("disk.end_wait", Some(limit));
        patience.rest(Duration::from_millis(30)).unwrap();
        assert_eq!(patience.left(), Ok(None), "it has not begun");
        patience.begin();
        let spent = Err(Spent { setting: "disk.end_wait", limit });
        while patience.rest(Duration::from_millis(5)) != spent {}
        patience.healed();
        assert!(patience.rest(Duration::ZERO).is_ok());
        assert_eq!(Patience::new("disk.end_wait", None).left(), Ok(None));
    }
}
