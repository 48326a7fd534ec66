//! Create: a request is evaluated, and written down for its keeper. Refusals get a record of their own.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use custody_keeper::layout::StateDir;
use custody_keeper::run::{KeeperError, close_refused, requested};
use custody_keeper::spec::SessionSpec;
use custody_model::{Clock, SessionId};
use custody_policy::{ApprovalNeeded, PolicyVersion, Refusal, Verdict, evaluate};
use custody_record::event::Decision;

/// Why a session was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The policy refuses it; session `session` records that.
    #[error("{refusal}")]
    Refused {
        /// The session whose record tells of the refusal.
        session: SessionId,
        /// Which rule, and why.
        refusal: Box<Refusal>,
    },
    /// Approvals are missing; session `session` records that it was asked for.
    #[error("the policy wants {} more approval(s) (rule {})", .needed.missing, .needed.rule.text)]
    NeedsApproval {
        /// The session whose record tells of the request.
        session: SessionId,
        /// What is missing.
        needed: Box<ApprovalNeeded>,
    },
    /// A file could not be written.
    #[error("the session's directory {path} can't be written")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record of a refusal could not be made.
    #[error("the refusal could not be recorded")]
    Record(#[source] KeeperError),
}

/// Evaluates `policy` and makes the session's directory. Nothing runs yet.
///
/// # Errors
/// [`CreateError`].
pub fn create(
    state: &StateDir,
    spec: &SessionSpec,
    policy: &PolicyVersion,
    clock: Arc<dyn Clock>,
) -> Result<(), CreateError> {
    write(state, spec, policy)?;
    let refuse = |decision, refusal: &Refusal| {
        close_refused(state, spec, decision, refusal, clock.clone()).map_err(CreateError::Record)
    };
    match evaluate(policy, requested(spec), &[]) {
        // The keeper asks for its own permit: one can't be passed on.
        Verdict::Allow(_permit) => Ok(()),
        Verdict::Deny(refusal) => {
            refuse(Decision::Deny, &refusal)?;
            Err(CreateError::Refused { session: spec.id, refusal: Box::new(refusal) })
        }
        Verdict::NeedsApproval(needed) => {
            let refusal = Refusal {
                action: "session.request",
                policy_name: policy.name().to_owned(),
                policy: needed.policy,
                rule: needed.rule.clone(),
                reason: format!("{} more approvals are needed", needed.missing),
            };
            refuse(Decision::NeedsApproval, &refusal)?;
            Err(CreateError::NeedsApproval { session: spec.id, needed: Box::new(needed) })
        }
    }
}

fn write(state: &StateDir, spec: &SessionSpec, policy: &PolicyVersion) -> Result<(), CreateError> {
    let dir = state.session(spec.id);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CreateError::File { path, source }
    };
    // What is in there is nobody's business but this installation's.
    let mut private = fs::DirBuilder::new();
    private.mode(0o700);
    fs::create_dir_all(state.sessions()).map_err(failed(&state.sessions()))?;
    private.create(dir.path()).map_err(failed(dir.path()))?;
    let json =
        serde_json::to_vec_pretty(spec).map_err(|e| failed(&dir.spec())(io::Error::other(e)))?;
    for (path, bytes) in [(dir.policy(), policy.source().as_bytes()), (dir.spec(), &json)] {
        let mut file = fs::File::create_new(&path).map_err(failed(&path))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(&path))?;
    }
    Ok(())
}
