//! The server's life: whether it drains, what still runs, and the streams that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use custody_api_types::ApiCode;
use custody_model::UserName;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::ApiError;
use crate::limits::Limits;

/// The life of one server: it owns every task that outlives a connection.
#[derive(Clone, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    tasks: TaskTracker,
    open: Arc<Mutex<HashMap<UserName, u32>>>,
}

impl Lifecycle {
    /// A server that lives.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to drain: streams end, and nothing new is taken.
    pub fn drain(&self) {
        self.draining.cancel();
        self.tasks.close();
    }

    /// Whether it drains.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Waits until it drains.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Runs something to its end, whether or not its client stays.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.tasks.spawn(work)
    }

    /// Waits until all that was begun is done, or the time is over; whether it is done.
    pub async fn finished(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }

    /// Number of open streams.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Opens a stream for a caller.
    ///
    /// # Errors
    /// `too_many_streams`, and `unavailable` while it drains.
    pub fn stream(&self, user: &UserName, limits: &Limits) -> Result<OpenStream, ApiError> {
        if self.is_draining() {
            let error = ApiError::new(ApiCode::Unavailable, "the server is draining");
            return Err(ApiError { retry_after: Some(Duration::from_secs(1)), ..error });
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = open.values().sum();
        let own = open.get(user).copied().unwrap_or(0);
        if own >= limits.streams_per_caller || all >= limits.streams {
            let detail = format!(
                "you have {own} streams open and all callers {all}; {} and {} are the most",
                limits.streams_per_caller, limits.streams
            );
            let error = ApiError::new(ApiCode::TooManyStreams, detail);
            return Err(ApiError { retry_after: Some(Duration::from_secs(5)), ..error });
        }
        *open.entry(user.clone()).or_default() += 1;
        Ok(OpenStream { user: user.clone(), open: self.open.clone() })
    }
}

/// An open stream; it is closed when this is dropped.
pub struct OpenStream {
    user: UserName,
    open: Arc<Mutex<HashMap<UserName, u32>>>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.user);
            }
        }
    }
}
