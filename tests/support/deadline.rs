//! Waiting for a condition, with a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longest wait for anything in a test. Generous: a machine under load is slow, not wrong.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Waits until `look` finds something.
///
/// # Panics
/// After [`PATIENCE`], with `what` was awaited.
pub fn until<T>(what: impl Debug, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what:?}");
        #[expect(
            clippy::disallowed_methods,
            reason = "the pause between two looks at a condition"
        )]
        std::thread::sleep(BETWEEN_LOOKS);
    }
}
