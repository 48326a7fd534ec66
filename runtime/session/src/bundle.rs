//! A session's branch, and what stands beside it, as whoever has no access to the mirror gets it.

use std::io::{self, Write};
use std::ops::ControlFlow;

use custody_model::SessionId;
use custody_workspace::mirror::{MirrorError, Mirrors};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

impl Orchestrator {
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
        let mut words = vec!["bundle", "create", "--quiet", "-"];
        words.extend(refs);
        words.push("--not");
        words.extend(parents.lines());
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
}
