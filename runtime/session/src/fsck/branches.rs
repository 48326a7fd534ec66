//! The refs that sessions published, against what their records say of them: whoever fetches from a mirror takes what its refs
//! point at, and no signature is on those.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use custody_keeper::layout::StateDir;
use custody_model::SessionId;
use custody_model::error::chain;
use custody_record::event::{CommitCreated, Outcome};
use custody_record::{Body, ReadError, Reader};
use custody_workspace::mirror::{MirrorError, Mirrors};

use super::{Checked, Damage};
use crate::error::SessionError;

/// The refs of the mirrors, each of which is asked once.
pub(super) struct Branches {
    mirrors: Mirrors,
    /// Objects by the full names of their refs, or why a mirror can't be asked; by repository.
    refs: HashMap<String, Result<BTreeMap<String, String>, String>>,
}

impl Branches {
    pub(super) fn of(state: &StateDir) -> Self {
        Self { mirrors: Mirrors::of(state.path()), refs: HashMap::new() }
    }

    /// Compares the refs of one session. What can't be read of its record is told by its verification.
    pub(super) fn check(&mut self, session: SessionId, record: &Path, checked: &mut Checked) {
        let Ok(Some(Published { repository, commit, outcome })) = published(record) else { return };
        // Where a session failed or was interrupted, its outputs may be on record and not published: what it wrote is kept.
        let is_published = match outcome {
            Some(Outcome::Completed | Outcome::Stopped) => true,
            Some(Outcome::Failed | Outcome::Refused | Outcome::Interrupted) | None => false,
        };
        let mut wanted = vec![(format!("refs/heads/{}", commit.branch), commit.commit.to_string())];
        let inner = commit.submodules.iter().flatten();
        wanted.extend(inner.filter_map(|one| Some((one.branch.clone()?, one.commit.to_string()))));
        let inner = commit.submodules.iter().flatten().flat_map(|one| one.refs.iter().flatten());
        let refs = commit.refs.iter().flatten().chain(inner);
        wanted.extend(refs.map(|one| (one.name.clone(), one.object.to_string())));
        let place = session.to_string();
        let mut found = |code: &str, what: String| {
            checked.damage.push(Damage::kept(&place, code, what, None));
        };
        let mirrors = &self.mirrors;
        let there =
            self.refs.entry(repository.clone()).or_insert_with(|| refs_of(mirrors, &repository));
        let there = match there {
            Ok(there) => there,
            Err(why) => {
                found("mirror_unreadable", format!("its branch can't be looked at: {why}"));
                return;
            }
        };
        for (name, object) in wanted {
            match there.get(&name) {
                Some(found) if *found == object => {}
                Some(other) => found(
                    "branch_moved",
                    format!(
                        "{name} of the mirror of {repository} is at {other}; the record says {object}"
                    ),
                ),
                None if !is_published => {}
                None => found(
                    "branch_missing",
                    format!("{name}, at {object}, is not in the mirror of {repository}"),
                ),
            }
        }
    }
}

/// What a record says of its session's branch.
struct Published {
    repository: String,
    /// The last commit.
    commit: CommitCreated,
    /// How the session ended, if it did.
    outcome: Option<Outcome>,
}

/// `None` if it has no commit.
fn published(record: &Path) -> Result<Option<Published>, ReadError> {
    let (mut repository, mut last, mut outcome) = (None, None, None);
    for event in Reader::open(record)?.events()? {
        let body = event?.body;
        if let Body::SessionAuthorized(authorized) = body {
            repository = Some(authorized.request.repository);
        } else if let Body::CommitCreated(commit) = body {
            last = Some(commit).filter(|commit| commit.submodule.is_none()).or(last);
        } else if let Body::SessionClosed(closed) = body {
            outcome = Some(closed.outcome);
        }
    }
    Ok(repository.zip(last).map(|(repository, commit)| Published { repository, commit, outcome }))
}

fn refs_of(mirrors: &Mirrors, repository: &str) -> Result<BTreeMap<String, String>, String> {
    let listed = || -> Result<Vec<u8>, SessionError> {
        let mirror = mirrors.get(&repository.parse()?)?;
        let words =
            ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"];
        Ok(mirror.git().run(&words).map_err(MirrorError::from)?)
    };
    let listed = listed().map_err(|error| chain(&error))?;
    let listed = String::from_utf8_lossy(&listed);
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    Ok(lines.map(|(object, name)| (name.to_owned(), object.to_owned())).collect())
}
