//! A session's branch, and what stands beside it, as whoever has no access to the mirror gets it.

use std::io::{self, Write};
use std::ops::ControlFlow;

use custody_model::SessionId;
use custody_record::event::CreatedSubmodule;
use custody_workspace::git::Git;
use custody_workspace::mirror::{MirrorError, Mirrors};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

impl Orchestrator {
    /// Writes a git bundle of what the session made in a submodule, for the submodule's repository: what its base lacks. It waits
    /// for git.
    ///
    /// # Errors
    /// [`SessionError`], if git or `out` fails.
    pub fn submodule_bundle(
        &self,
        repository: &str,
        submodule: &CreatedSubmodule,
        out: &mut dyn Write,
    ) -> Result<(), SessionError> {
        let mut refs: Vec<&str> = submodule.branch.as_deref().into_iter().collect();
        refs.extend(submodule.refs.iter().flatten().map(|one| one.name.as_str()));
        match self.refs_there(repository, &refs)? {
            Some((git, there)) => send(&git, &there, &[submodule.base.as_str()], out),
            None => Ok(()),
        }
    }

    /// Writes a git bundle (gitformat-bundle) of the session's refs in the mirror: their commits that the base's history lacks, and,
    /// of a session that started from a snapshot, that snapshot. Nothing, if it has no branch. It waits for git.
    ///
    /// # Errors
    /// [`SessionError`], if git or `out` fails.
    pub fn bundle(
        &self,
        repository: &str,
        session: SessionId,
        base: &custody_model::GitOid,
        out: &mut dyn Write,
    ) -> Result<(), SessionError> {
        let names = [
            format!("refs/heads/custody/{session}"),
            format!("refs/heads/custody/{session}.refs"),
            format!("refs/tags/custody/{session}"),
        ];
        let Some((git, refs)) =
            self.refs_there(repository, &names.each_ref().map(String::as_str))?
        else {
            return Ok(());
        };
        // A snapshot is on no ref of the source's, and its parents are.
        let kept = git
            .run(&[
                "for-each-ref",
                "--count=1",
                "--format=x",
                "--contains",
                base.as_str(),
                "refs/sources",
            ])
            .map_err(MirrorError::from)?;
        let without = match kept.is_empty() {
            true => format!("{base}^@"),
            false => base.to_string(),
        };
        let parents = git.run(&["rev-parse", &without]).map_err(MirrorError::from)?;
        let parents = String::from_utf8_lossy(&parents);
        send(&git, &refs, &parents.lines().collect::<Vec<_>>(), out)
    }

    /// Those refs of the repository's mirror that are there under these names or below them, with git in the mirror. None if
    /// there is no mirror, or nothing of them.
    fn refs_there(
        &self,
        repository: &str,
        names: &[&str],
    ) -> Result<Option<(Git, Vec<String>)>, SessionError> {
        // Without names git would list every ref.
        if names.is_empty() {
            return Ok(None);
        }
        let mirror = match Mirrors::of(self.state().path()).get(&repository.parse()?) {
            Ok(mirror) => mirror,
            Err(MirrorError::Unknown(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let git = mirror.git();
        let words = [&["for-each-ref", "--format=%(refname)"], names].concat();
        let refs = git.run(&words).map_err(MirrorError::from)?;
        let refs: Vec<_> = String::from_utf8_lossy(&refs).lines().map(str::to_owned).collect();
        Ok((!refs.is_empty()).then_some((git, refs)))
    }
}

/// A bundle of `refs`, without what `known` has.
fn send(
    git: &Git,
    refs: &[String],
    known: &[&str],
    out: &mut dyn Write,
) -> Result<(), SessionError> {
    let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
    let words = [&["bundle", "create", "--quiet", "-"][..], &refs, &["--not"], known].concat();
    let sent = git.stream_until(&words, |output| {
        let copied = io::copy(output, out);
        Ok(match copied {
            Ok(_) => ControlFlow::Continue(Ok(())),
            Err(error) => ControlFlow::Break(Err(error)),
        })
    });
    sent.map_err(MirrorError::from)?
        .map_err(SessionError::file("a bundle can't be handed out".to_owned()))
}
