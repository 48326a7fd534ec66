//! `fsck`: checks every log, record and content of an installation, and moves aside what is damaged.
//!
//! It never deletes and never invents: what is damaged keeps its bytes, under `quarantine/`, and the move is an event of
//! the control log before it happens. Everything is held against everything: the two logs against their anchors and what
//! witnesses cosigned, the sessions that each of them knows against each other, their directories, seals, keys and published refs. The
//! installation's own two logs are never moved: nothing could be appended without their heads. Nor is what a living session writes, nor a file with nothing but a foreign signature.

mod branches;
mod known;
mod logs;
mod quarantine;
mod sessions;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use custody_keeper::layout::StateDir;
use custody_model::SessionId;
use custody_record::control::{ControlLog, ControlLogError};
use custody_record::{KeyError, Verifier};
use serde::Serialize;

use self::branches::Branches;
use self::logs::{check_control, check_installation};
pub use self::quarantine::{Mover, QUARANTINE, quarantine, record_lost};
use self::sessions::{check_launched, check_session};
use crate::reconcile::has_record;
use crate::records::{self, FindError};

/// Why the check could not be made, or went no further.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// Without the keys nothing can be checked.
    #[error("the installation's keys can't be used: nothing can be checked without them")]
    Keys(#[from] KeyError),
    /// The sessions.
    #[error("the sessions can't be listed")]
    Find(#[from] FindError),
    /// The control log.
    #[error("the control log can't be read or written")]
    Control(#[from] ControlLogError),
    /// Random bytes for an event's id.
    #[error("there are no random bytes for an event's id")]
    Random(#[source] io::Error),
    /// A file.
    #[error("{path} can't be moved aside")]
    Move {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Something that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// `control log`, `installation log`, `index`, or the session's id.
    pub place: String,
    /// Its stable name.
    pub code: String,
    /// In words.
    pub what: String,
    /// The file, below the state directory, if it is one.
    pub file: Option<PathBuf>,
    /// Where the file was moved, below the state directory; absent if it stays where it is.
    pub quarantined: Option<PathBuf>,
    /// It is to be moved.
    #[serde(skip)]
    movable: bool,
}

impl Damage {
    /// Damage that stays in its place.
    #[must_use]
    pub fn kept(place: &str, code: &str, what: impl Into<String>, file: Option<PathBuf>) -> Self {
        let (place, code) = (place.to_owned(), code.to_owned());
        Self { place, code, what: what.into(), file, quarantined: None, movable: false }
    }

    /// Damage of a file that is to be moved aside.
    #[must_use]
    pub fn movable(place: &str, code: &str, what: impl Into<String>, file: PathBuf) -> Self {
        Self { movable: true, ..Self::kept(place, code, what, Some(file)) }
    }
}

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Sessions whose record was checked.
    pub sessions: u64,
    /// Of them, those that are not sealed: they live, or are to be closed by the next server.
    pub open: u64,
    /// Their events.
    pub events: u64,
    /// Their contents.
    pub blobs: u64,
    /// Events of the control log.
    pub control_events: u64,
    /// Documents of the control log.
    pub documents: u64,
    /// Heads in the installation log.
    pub heads: u64,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// Sessions that were found to be lost, and why; the control log does not know it yet.
    #[serde(skip)]
    pub(crate) lost: Vec<(SessionId, String)>,
}

/// Checks everything but the index. Changes nothing.
///
/// # Errors
/// [`FsckError::Keys`], [`FsckError::Find`].
pub fn check(
    state: &StateDir,
    control: &ControlLog,
    progress: &mut dyn FnMut(u64),
) -> Result<Checked, FsckError> {
    let verifier = Verifier::of_installation(&state.keys())?;
    let mut checked = Checked::default();
    let requested = check_control(state, control, &verifier, &mut checked);
    let known = check_installation(state, &verifier, &mut checked);
    let sessions = records::all(state)?;
    let mut branches = Branches::of(state);
    for session in &sessions {
        check_session(state, control.vault(), *session, &verifier, known.is_some(), &mut checked);
        branches.check(*session, &state.session(*session).record(), &mut checked);
        progress(checked.sessions);
    }
    let there: BTreeSet<SessionId> = sessions.into_iter().collect();
    let recorded = |session: &&SessionId| has_record(&state.session(**session));
    for gone in known.iter().flatten().filter(|session| !recorded(session)) {
        let what = "the installation log has heads of its record, and it is gone";
        checked.damage.push(Damage::kept(&gone.to_string(), "session_missing", what, None));
    }
    if let Some(requested) = requested {
        let heads = known.unwrap_or_default();
        checked.damage.extend(requested.compare(state, control.vault(), &there, &heads));
        check_launched(state, &requested, &mut checked);
    }
    Ok(checked)
}

/// The name that the control log's findings have here.
pub const CONTROL: &str = "control log";

fn below(state: &StateDir, path: &Path) -> PathBuf {
    path.strip_prefix(state.path()).unwrap_or(path).to_owned()
}
