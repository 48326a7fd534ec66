//! Lists, page by page.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use custody_api_types::Page;

use crate::error::ClientError;

type Fetching<T> = Pin<Box<dyn Future<Output = Result<Page<T>, ClientError>> + Send>>;

/// A list that is fetched page by page, as its items are taken.
pub struct Pages<T> {
    fetch: Box<dyn Fn(Option<String>) -> Fetching<T> + Send + Sync>,
    items: VecDeque<T>,
    next: Option<String>,
    begun: bool,
}

impl<T> Pages<T> {
    pub(crate) fn new<F>(fetch: impl Fn(Option<String>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Page<T>, ClientError>> + Send + 'static,
    {
        Self {
            fetch: Box::new(move |after| Box::pin(fetch(after))),
            items: VecDeque::new(),
            next: None,
            begun: false,
        }
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError`]; the next call tries the same page again.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Some(item));
            }
            if self.begun && self.next.is_none() {
                return Ok(None);
            }
            let page = (self.fetch)(self.next.clone()).await?;
            self.begun = true;
            self.items = page.items.into();
            self.next = page.next;
        }
    }

    /// The first `limit` items, or all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn take(mut self, limit: Option<usize>) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        while limit.is_none_or(|limit| items.len() < limit) {
            match self.next().await? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        Ok(items)
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("next", &self.next).finish_non_exhaustive()
    }
}
