//! Pages: a part of a list, and where the next part begins.

use std::fmt;
use std::str::FromStr;

/// Most items of a page.
pub const MAX_PAGE: usize = 500;

/// Where a list goes on. Opaque to clients; made by a store and given back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

/// Why a text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cursor: give back what the page before said in `next`")]
pub struct InvalidCursor(pub String);

impl Cursor {
    /// From what a store sorts by: printable ASCII without spaces, at most 512 bytes.
    ///
    /// # Errors
    /// [`InvalidCursor`].
    pub fn new(text: String) -> Result<Self, InvalidCursor> {
        let valid = (1..=512).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if valid { Ok(Self(text)) } else { Err(InvalidCursor(text)) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        Self::new(text.to_owned())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many items, 1 to [`MAX_PAGE`].
    pub limit: usize,
    /// After the page that said this in `next`; the first page without it.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// The first page of `limit` items (brought into 1 to [`MAX_PAGE`]).
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { limit: limit.clamp(1, MAX_PAGE), after: None }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the list goes on; absent at its end.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}
