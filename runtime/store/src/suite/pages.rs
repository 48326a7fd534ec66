//! Walking through a list page by page.

use crate::{Page, PageRequest, StoreError};

/// The whole list, by pages of `limit`; each page but the last is full, and none is larger.
pub(super) async fn walk<T>(
    limit: usize,
    read: impl AsyncFn(PageRequest) -> Result<Page<T>, StoreError>,
) -> Vec<T> {
    walk_while(limit, read, async || {}).await
}

/// As [`walk`]; `between` is done after each page.
pub(super) async fn walk_while<T>(
    limit: usize,
    read: impl AsyncFn(PageRequest) -> Result<Page<T>, StoreError>,
    between: impl AsyncFn(),
) -> Vec<T> {
    let mut all = Vec::new();
    let mut request = PageRequest::first(limit);
    loop {
        let page = read(request.clone()).await.expect("a page");
        assert!(page.items.len() <= limit, "{} items on a page of {limit}", page.items.len());
        if page.next.is_some() {
            assert_eq!(page.items.len(), limit, "only the last page is not full");
        }
        all.extend(page.items);
        match page.next {
            // As a client sends it.
            Some(next) => request.after = Some(next.as_str().parse().expect("a cursor")),
            None => return all,
        }
        between().await;
    }
}
