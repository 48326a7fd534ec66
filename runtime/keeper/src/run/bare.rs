//! A mediated workspace without a sandbox, for conformance tests of the mount: the same mediators, the same journal.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use custody_model::{Clock, EventId, GitOid, SessionId};
use custody_policy::PathRules;
use custody_record::{Journal, JournalHeader, JournalOptions, Redactor};
use custody_workspace::descent;
use custody_workspace::mirror::Mirror;

use super::KeeperError;
use super::prepare::{Parts, mediate, private_mounts};
use crate::layout::StateDir;
use crate::recorder::Recorder;

/// What to mount.
pub struct BareWorkspace<'a> {
    /// The installation.
    pub state: &'a StateDir,
    /// The repository.
    pub mirror: Mirror,
    /// The commit.
    pub commit: &'a GitOid,
    /// The rules.
    pub rules: &'a PathRules,
    /// With the guard at the root.
    pub strict: bool,
    /// Where the layers, the mounts and the journal go; it is removed afterwards.
    pub directory: &'a Path,
    /// The journal's session.
    pub session: SessionId,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Mounts the workspace in a mount namespace of this process, and takes it away when `use_it` is done. The process
/// must have no other thread yet.
///
/// # Errors
/// [`KeeperError`].
pub fn with_bare_workspace<T>(
    request: BareWorkspace<'_>,
    use_it: impl FnOnce(&Path) -> T,
) -> Result<T, KeeperError> {
    private_mounts().map_err(KeeperError::step("making the mounts private"))?;
    let header = JournalHeader {
        session: request.session,
        policy: request.rules.digest(),
        on_behalf_of: None,
    };
    let journal =
        Journal::create(&request.directory.join("record"), header, JournalOptions::default())
            .map_err(KeeperError::step("opening the journal"))?;
    let redactor =
        Redactor::standard().map_err(KeeperError::step("reading what is to be redacted"))?;
    let journal = Arc::new(journal.with_redactor(Arc::new(redactor)));
    let recorder = Arc::new(Recorder::new(journal, request.clock.clone()));
    // Whoever uses the mount is taken for a process of the session.
    recorder.started_by(EventId::new(request.clock.now(), [0; 10]));
    let (messages, _nobody_listens) = channel();
    let prepared = mediate(
        Parts {
            state: request.state.path(),
            mirror: request.mirror,
            commit: request.commit,
            rules: request.rules,
            strict: request.strict,
            directory: &request.directory.join("workspace"),
            recorder: &recorder,
            clock: &request.clock,
            messages: &messages,
        },
        &mut |_| {},
    )?;
    let used = use_it(prepared.workspace.view());
    prepared.watch.finish()?;
    prepared.workspace.detach().map_err(KeeperError::step("unmounting the workspace"))?;
    if let Some(guard) = prepared.guard {
        guard.unmount().map_err(KeeperError::step("unmounting the guard"))?;
    }
    descent::remove(request.directory)
        .map_err(KeeperError::file(format!("removing {}", request.directory.display())))?;
    Ok(used)
}
