//! The base checkout of a session that has one already.

use custody_keeper::layout::StateDir;
use custody_keeper::spec::SessionSpec;
use custody_policy::PathRules;
use custody_workspace::base::{Base, BaseError};
use custody_workspace::mirror::{MirrorError, Mirrors};

/// Why it was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindBaseError {
    /// The mirror.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The name in the request.
    #[error(transparent)]
    Name(#[from] custody_workspace::mirror::InvalidRepositoryName),
    /// The checkout.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// It is gone.
    #[error("the base checkout of the session is gone")]
    Gone,
}

/// The base checkout that the session was made on.
pub(crate) fn find(
    state: &StateDir,
    spec: &SessionSpec,
    rules: &PathRules,
) -> Result<Base, FindBaseError> {
    let mirror = Mirrors::of(state.path()).get(&spec.repository.parse()?)?;
    let named = state.session(spec.id).workspace().join(custody_keeper::run::BASE_NAME);
    let name = std::fs::read_to_string(named).ok();
    Base::find(state.path(), &mirror, &spec.base_commit, rules, name.as_deref())?
        .ok_or(FindBaseError::Gone)
}
