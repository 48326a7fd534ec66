//! Where git is asked: a program runs and is waited for, which must not hold up a thread that serves others.

use std::future::Future;

use crate::history::HistoryError;

/// Runs what blocks. Whoever answers many at once gives the work to threads of its own; this crate has none.
pub trait Blocking: Send + Sync {
    /// Runs `work` where it holds nobody up.
    ///
    /// # Errors
    /// Those of the work, and [`HistoryError::Ended`] if it was not run to its end.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
    ) -> impl Future<Output = Result<T, HistoryError>> + Send;
}

/// Runs it at once, on the thread that asks: for a program that answers one question.
#[derive(Clone, Copy, Debug, Default)]
pub struct InPlace;

impl Blocking for InPlace {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        work()
    }
}
