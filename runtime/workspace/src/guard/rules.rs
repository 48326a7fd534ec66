//! What the policy says of a path, as the guard keeps it beside an inode.

use std::sync::Arc;

use custody_model::WorkspacePath;
use custody_policy::{PathRules, Treatment};
use nix::errno::Errno;

/// A rule that guards a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guarded {
    /// How: never [`Treatment::ReadWrite`].
    pub(super) wall: Wall,
    /// The rule, as the policy spells it.
    pub(super) rule: Arc<str>,
}

/// What a rule forbids. The order is that of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wall {
    /// Every change.
    ReadOnly,
    /// Everything but to see that there is something.
    Deny,
}

impl Wall {
    /// What a refused process gets.
    ///
    /// `EACCES` where nothing is to be known. `EROFS` where only changes are refused: it is what a
    /// read-only mount answers, and it says that no chmod will help, so that programs neither try
    /// one nor report wrong permission bits.
    pub(super) const fn errno(self) -> Errno {
        match self {
            Self::ReadOnly => Errno::EROFS,
            Self::Deny => Errno::EACCES,
        }
    }
}

/// The rule that guards `path`, if any.
pub(super) fn guard_of(rules: &PathRules, path: &WorkspacePath) -> Option<Arc<Guarded>> {
    if !rules.has_guards() {
        return None;
    }
    let ruling = rules.treatment(path);
    let wall = match ruling.treatment {
        Treatment::ReadWrite => return None,
        Treatment::ReadOnly => Wall::ReadOnly,
        Treatment::Deny => Wall::Deny,
    };
    Some(Arc::new(Guarded { wall, rule: ruling.rule.into() }))
}
