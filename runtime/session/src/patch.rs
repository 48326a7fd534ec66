//! What a session's commit changed, from the mirror that keeps it.

use std::io::Read as _;
use std::ops::ControlFlow;

use custody_model::GitOid;
use custody_workspace::mirror::{MirrorError, Mirrors};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;

/// Longest patch that is held in memory, in bytes.
const MAX_PATCH_BYTES: u64 = 256 << 20;

/// What git says of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// This.
    Changes(Vec<u8>),
    /// The mirror lacks the commit.
    Absent,
    /// It is longer than 256 MiB.
    TooLong,
}

impl Orchestrator {
    /// What git answers to `arguments` and the commit's id, in the mirror of a repository. It waits for git.
    ///
    /// # Errors
    /// [`SessionError`], if git fails.
    pub fn patch(
        &self,
        repository: &str,
        arguments: &[&str],
        commit: &GitOid,
    ) -> Result<Patch, SessionError> {
        let mirror = match Mirrors::of(self.state().path()).get(&repository.parse()?) {
            Ok(mirror) => mirror,
            Err(MirrorError::Unknown(_)) => return Ok(Patch::Absent),
            Err(error) => return Err(error.into()),
        };
        if !mirror.has(commit)? {
            return Ok(Patch::Absent);
        }
        let mut arguments = arguments.to_vec();
        arguments.push(commit.as_str());
        let patch = mirror.git().stream_until(&arguments, |output| {
            let mut bytes = Vec::new();
            output.take(MAX_PATCH_BYTES + 1).read_to_end(&mut bytes)?;
            Ok(match bytes.len() as u64 > MAX_PATCH_BYTES {
                true => ControlFlow::Break(Patch::TooLong),
                false => ControlFlow::Continue(Patch::Changes(bytes)),
            })
        });
        Ok(patch.map_err(MirrorError::from)?)
    }
}
