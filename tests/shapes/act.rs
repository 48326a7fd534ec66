//! What a session does, and what has to come out of it.

/// One act of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It changes nothing.
    Nothing,
    /// It commits on a branch of another name and comes back.
    OtherBranch,
    /// It stashes a change.
    Stash,
    /// It makes a repository inside, as scaffolders do.
    Nested,
    /// It commits.
    Commit,
    /// It leaves a file uncommitted.
    Write,
}

impl Act {
    pub(crate) const ALL: [Self; 6] =
        [Self::Nothing, Self::OtherBranch, Self::Stash, Self::Nested, Self::Commit, Self::Write];

    /// The script, in the root of the workspace.
    pub(crate) const fn script(self) -> &'static str {
        match self {
            Self::Nothing => "true",
            Self::OtherBranch => {
                "git checkout -q -b beside; echo beside >beside.txt; git add beside.txt
                 git commit -qm beside; git checkout -q -"
            }
            Self::Stash => "echo stashed >>kept.txt; git stash -q",
            Self::Nested => {
                "git init -q scaffold; echo inner >scaffold/inner.txt
                 git -C scaffold add -A; git -C scaffold commit -qm inner"
            }
            Self::Commit => {
                "echo committed >committed.txt; git add committed.txt; git commit -qm committed"
            }
            Self::Write => "echo written >written.txt",
        }
    }

    /// The file that the session's branch has more, and its one line.
    pub(crate) const fn file(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nothing | Self::OtherBranch | Self::Stash => None,
            Self::Nested => Some(("scaffold/inner.txt", "inner")),
            Self::Commit => Some(("committed.txt", "committed")),
            Self::Write => Some(("written.txt", "written")),
        }
    }

    /// What git calls the ref inside that comes out beside the branch, a file that it has, and its last line.
    pub(crate) const fn beside(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Nothing | Self::Nested | Self::Commit | Self::Write => None,
            Self::OtherBranch => Some(("refs/heads/beside", "beside.txt", "beside")),
            Self::Stash => Some(("stash@{0}", "kept.txt", "stashed")),
        }
    }

    /// Words of the summary that name what stays out.
    pub(crate) const fn named(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::OtherBranch | Self::Stash | Self::Commit | Self::Write => None,
            Self::Nested => Some("scaffold: a git repository of its own"),
        }
    }
}
