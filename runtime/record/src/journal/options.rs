//! How a journal buffers and commits: every limit of it.

use std::time::Duration;

/// Most bytes of appended events that wait for the writer; whoever appends more waits.
pub const DEFAULT_BUFFER_BYTES: usize = 16 << 20;

/// The writer is woken early when this many bytes wait.
pub const DEFAULT_WAKE_BYTES: usize = 1 << 20;

/// Longest time that an appended event waits for the writer.
pub const DEFAULT_LINGER: Duration = Duration::from_millis(2);

/// Longest time from an append to the fsync that makes it durable, if nobody waits for it.
pub const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_millis(200);

/// Time between two attempts to go on with a journal that can't be written.
pub const DEFAULT_RETRY: Duration = Duration::from_millis(250);

/// How long an append waits for room in a journal that can't be written, before it is refused.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes of events that are written and not durable: they are kept in memory, to be written again if the fsync
/// fails. Whoever writes more than that at once waits for the fsync.
pub const MAX_UNSYNCED_BYTES: usize = 32 << 20;

/// How a journal buffers and commits.
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// [`DEFAULT_BUFFER_BYTES`].
    pub buffer_bytes: usize,
    /// [`DEFAULT_WAKE_BYTES`].
    pub wake_bytes: usize,
    /// [`DEFAULT_LINGER`].
    pub linger: Duration,
    /// [`DEFAULT_COMMIT_INTERVAL`].
    pub commit_interval: Duration,
    /// [`DEFAULT_RETRY`].
    pub retry: Duration,
    /// [`DEFAULT_PATIENCE`].
    pub patience: Duration,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            buffer_bytes: DEFAULT_BUFFER_BYTES,
            wake_bytes: DEFAULT_WAKE_BYTES,
            linger: DEFAULT_LINGER,
            commit_interval: DEFAULT_COMMIT_INTERVAL,
            retry: DEFAULT_RETRY,
            patience: DEFAULT_PATIENCE,
        }
    }
}
