//! Cursors: what the last item of a page was, as text; and pages made of one row too many.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use custody_model::{Digest, Timestamp};
use custody_store::{Cursor, InvalidCursor, MAX_PAGE, Page, PageRequest, StoreError};
use sqlx::{QueryBuilder, Sqlite};

/// Names and paths up to so many bytes are in the cursor as they are; of longer ones, so many and a digest.
const PLAIN: usize = 300;

/// Rows that are asked of the database: one more than the page holds, to know whether there are more.
pub(crate) fn rows(page: &PageRequest) -> i64 {
    i64::try_from(page.limit.clamp(1, MAX_PAGE) + 1).unwrap_or(i64::MAX)
}

/// The page of these items; `cursor` tells the last one's place.
pub(crate) fn page<T>(
    mut items: Vec<T>,
    page: &PageRequest,
    cursor: impl Fn(&T) -> String,
) -> Result<Page<T>, StoreError> {
    let limit = page.limit.clamp(1, MAX_PAGE);
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|item| Cursor::new(cursor(item))).transpose()?;
    Ok(Page { items, next })
}

fn invalid(cursor: &Cursor) -> StoreError {
    StoreError::Cursor(InvalidCursor(cursor.as_str().to_owned()))
}

/// A place in a list by name or path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// After exactly this.
    Key(Vec<u8>),
    /// After what begins like this and has this SHA-256.
    Long(Vec<u8>, Digest),
}

/// The cursor of a name or path.
pub(crate) fn key(bytes: &[u8]) -> String {
    match bytes.get(..PLAIN) {
        Some(head) if bytes.len() > PLAIN => {
            format!("l{}.{}", BASE64.encode(head), Digest::of(bytes).hex())
        }
        Some(_) | None => format!("k{}", BASE64.encode(bytes)),
    }
}

/// The place that a cursor tells, in a list by name or path.
pub(crate) fn after_key(cursor: &Cursor) -> Result<After, StoreError> {
    let parse = || {
        let text = cursor.as_str();
        if let Some(plain) = text.strip_prefix('k') {
            return BASE64.decode(plain).ok().map(After::Key);
        }
        let (head, digest) = text.strip_prefix('l')?.split_once('.')?;
        let digest = format!("sha256:{digest}").parse().ok()?;
        Some(After::Long(BASE64.decode(head).ok()?, digest))
    };
    parse().ok_or_else(|| invalid(cursor))
}

/// Ends `… WHERE name `: after the cursor, in order, as many as [`rows`]. No name is so long that its cursor tells a
/// digest.
pub(crate) fn push_name(
    query: &mut QueryBuilder<Sqlite>,
    page: &PageRequest,
) -> Result<(), StoreError> {
    match &page.after {
        Some(cursor) => {
            let After::Key(bytes) = after_key(cursor)? else { return Err(invalid(cursor)) };
            let name = String::from_utf8(bytes).map_err(|_| invalid(cursor))?;
            query.push("> ").push_bind(name);
        }
        None => drop(query.push(">= ''")),
    }
    query.push(" ORDER BY name LIMIT ").push_bind(rows(page));
    Ok(())
}

/// The key that [`After::Long`] means, among those that follow its head.
pub(crate) fn resolve(
    cursor: &Cursor,
    digest: &Digest,
    candidates: impl IntoIterator<Item = Vec<u8>>,
) -> Result<Vec<u8>, StoreError> {
    let found = candidates.into_iter().find(|key| Digest::of(key) == *digest);
    found.ok_or_else(|| invalid(cursor))
}

/// The cursor of a moment and a key that breaks ties; `list` is a letter of the list's own.
pub(crate) fn moment(list: char, at: Timestamp, tie: &[u8]) -> String {
    format!("{list}{}.{}", at.as_micros(), hex::encode(tie))
}

/// The moment and key that a cursor of this list tells.
pub(crate) fn after_moment(list: char, cursor: &Cursor) -> Result<(i64, Vec<u8>), StoreError> {
    let parse = || {
        let (at, tie) = cursor.as_str().strip_prefix(list)?.split_once('.')?;
        Some((at.parse().ok()?, hex::decode(tie).ok()?))
    };
    parse().ok_or_else(|| invalid(cursor))
}

/// Before the first of a list from the latest moment on: no key is as long.
pub(crate) fn latest() -> (i64, Vec<u8>) {
    (i64::MAX, vec![u8::MAX; 33])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_cursor_that_tells_it() {
        for length in [0, 1, 299, 300, 301, 4096] {
            let bytes = vec![0xfe; length];
            let cursor = Cursor::new(key(&bytes)).unwrap();
            let expected = if length > PLAIN {
                After::Long(bytes[..PLAIN].to_vec(), Digest::of(&bytes))
            } else {
                After::Key(bytes)
            };
            assert_eq!(after_key(&cursor).unwrap(), expected);
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for text in ["x", "k*", "lAA", "lAA.00", "n5", "n5.zz", "nx.00", "o5.00"] {
            let cursor = Cursor::new(text.to_owned()).unwrap();
            assert!(matches!(after_key(&cursor), Err(StoreError::Cursor(_))), "{text}");
            assert!(matches!(after_moment('n', &cursor), Err(StoreError::Cursor(_))), "{text}");
        }
    }
}
