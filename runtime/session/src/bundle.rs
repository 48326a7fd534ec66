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
        let mirror = match Mirrors::of(self.state().path()).get(&repository.parse()?) {
            Ok(mirror) => mirror,
            Err(MirrorError::Unknown(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut refs: Vec<&str> = submodule.branch.as_deref().into_iter().collect();
        refs.extend(submodule.refs.iter().flatten().map(|one| one.name.as_str()));
        let listed = ["for-each-ref", "--format=%(refname)"];
        let there = mirror.git().run(&[&listed[..], &refs].concat()).map_err(MirrorError::from)?;
        let there = String::from_utf8_lossy(&there);
        let there: Vec<_> = there.lines().collect();
        if there.is_empty() {
            return Ok(());
        }
        send(&mirror.git(), &there, &[submodule.base.as_str()], out)
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
        let mirror = match Mirrors::of(self.state().path()).get(&repository.parse()?) {
            Ok(mirror) => mirror,
            Err(MirrorError::Unknown(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let git = mirror.git();
        let names = [
            format!("refs/heads/custody/{session}"),
            format!("refs/heads/custody/{session}.refs"),
            format!("refs/tags/custody/{session}"),
        ];
        let mut words = vec!["for-each-ref", "--format=%(refname)"];
        words.extend(names.iter().map(String::as_str));
        let refs = git.run(&words).map_err(MirrorError::from)?;
        let refs = String::from_utf8_lossy(&refs);
        let refs: Vec<_> = refs.lines().collect();
        if refs.is_empty() {
            return Ok(());
        }
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
}

/// A bundle of `refs`, without what `known` has.
fn send(git: &Git, refs: &[&str], known: &[&str], out: &mut dyn Write) -> Result<(), SessionError> {
    let words = [&["bundle", "create", "--quiet", "-"][..], refs, &["--not"], known].concat();
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
