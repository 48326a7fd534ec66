//! The sessions of an installation and their records.

use std::io;

use custody_keeper::layout::StateDir;
use custody_model::SessionId;
use custody_record::{ReadError, Reader};

/// Why a session was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No session's id begins like this.
    #[error("no session's id begins with {0:?}; `custody session list` names them")]
    Unknown(String),
    /// There is none at all.
    #[error("there are no sessions yet; `custody run -- COMMAND` makes one")]
    None,
    /// Several ids begin like this.
    #[error(
        "{prefix:?} is the beginning of {count} sessions' ids, of {first} for one; give more of it"
    )]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many.
        count: usize,
        /// One of them.
        first: SessionId,
    },
    /// The directory of sessions can't be read.
    #[error("the sessions can't be listed")]
    Io(#[source] io::Error),
}

/// All sessions, the newest first: ids sort by time.
///
/// # Errors
/// [`FindError::Io`].
pub fn all(state: &StateDir) -> Result<Vec<SessionId>, FindError> {
    let entries = match std::fs::read_dir(state.sessions()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FindError::Io(error)),
    };
    let mut ids: Vec<SessionId> = Vec::new();
    for entry in entries {
        let name = entry.map_err(FindError::Io)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.parse::<SessionId>().ok()));
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// The session that `text` means: an id, the beginning of exactly one, or `last`.
///
/// # Errors
/// [`FindError`].
pub fn find(state: &StateDir, text: &str) -> Result<SessionId, FindError> {
    let ids = all(state)?;
    if text == "last" {
        return ids.first().copied().ok_or(FindError::None);
    }
    let matching: Vec<SessionId> =
        ids.into_iter().filter(|id| id.to_string().starts_with(text)).collect();
    match matching.as_slice() {
        [] => Err(FindError::Unknown(text.to_owned())),
        [one] => Ok(*one),
        [first, ..] => Err(FindError::Ambiguous {
            prefix: text.to_owned(),
            count: matching.len(),
            first: *first,
        }),
    }
}

/// The record of a session.
///
/// # Errors
/// Those of the reader.
pub fn reader(state: &StateDir, session: SessionId) -> Result<Reader, ReadError> {
    Reader::open(&state.session(session).record())
}

#[cfg(test)]
mod tests {
    use custody_model::Timestamp;

    use super::*;

    #[test]
    fn a_session_is_found_by_the_beginning_of_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        assert!(matches!(find(&state, "last"), Err(FindError::None)));
        let old = SessionId::new(Timestamp::from_micros(1_000_000), [1; 10]);
        let new = SessionId::new(Timestamp::from_micros(1_795_461_120_000_000), [2; 10]);
        for id in [old, new] {
            std::fs::create_dir_all(state.session(id).path()).unwrap();
        }
        assert_eq!(find(&state, "last").unwrap(), new);
        assert_eq!(find(&state, &old.to_string()[..10]).unwrap(), old);
        assert!(matches!(find(&state, "0"), Err(FindError::Ambiguous { count: 2, .. })));
        assert!(matches!(find(&state, "x"), Err(FindError::Unknown(_))));
    }
}
