//! Reconcile: the records of keepers that died are closed by another process, and say so.
//!
//! What the dead keeper still had in its queues is lost; the record says what may be missing, and the workspace is
//! compared with what the record tells. The upper layer is kept, because nobody else has what the agent wrote.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use custody_keeper::layout::{SessionDir, StateDir};
use custody_keeper::redactor::redactor;
use custody_keeper::spec::SessionSpec;
use custody_model::error::chain;
use custody_model::{Actor, Clock, SessionId, Timestamp};
use custody_policy::PolicyVersion;
use custody_record::event::{
    Body, ClosingCode, Coverage, Draft, Gap, GapCode, GapSource, Outcome, Place, SessionClosed,
};
use custody_record::{
    ExtendError, InstallationLog, Journal, JournalError, JournalHeader, JournalOptions, Keys,
    Redactor, Scope, Sink, Vault, recover,
};
use custody_store::{Room, Taken};
use custody_workspace::base::Base;
use custody_workspace::compare::{Compared, compare};
use custody_workspace::overlay::{Overlay, OverlayConfig, OverlayError};
use custody_workspace::spelling::Spelling;

use crate::base;
use crate::error::SessionError;
use crate::follow::Closed;
use crate::lease::LIVING;
use crate::lost::{Beginning, beginning};
use crate::orchestrator::Orchestrator;

/// How long the kernel may take to free the dead keeper's upper layer.
const MOUNT_PATIENCE: Duration = Duration::from_secs(30);

/// Any error on the way.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was done for one session whose keeper was gone.
#[derive(Debug)]
pub struct Reconciled {
    /// The session.
    pub session: SessionId,
    /// Its record is closed and sealed now; otherwise why it could not be.
    pub closed: Result<(), Failure>,
}

/// Closes the record of `session` if its keeper is gone; `None` if the keeper lives or there never was one.
///
/// # Errors
/// If the session's directory can't be looked at.
pub fn one(
    state: &StateDir,
    session: SessionId,
    vault: &Vault,
    clock: &Arc<dyn Clock>,
) -> io::Result<Option<Reconciled>> {
    let dir = state.session(session);
    let lock = match abandoned(&dir)? {
        Some(lock) => Some(lock),
        // Without its lock a keeper may be just starting, and has no record then. One that has a record holds the journal.
        None if !dir.lock().exists() && is_open(&dir) => None,
        None => return Ok(None),
    };
    let closed = close(state, session, vault, clock);
    let in_use = |error: &Failure| {
        matches!(error.downcast_ref::<JournalError>(), Some(JournalError::InUse(_)))
    };
    if closed.as_ref().is_err_and(in_use) {
        return Ok(None);
    }
    if closed.is_ok() && dir.run().exists() {
        std::fs::remove_dir_all(dir.run())?;
    }
    drop(lock);
    Ok(Some(Reconciled { session, closed }))
}

/// The reason why the installation log accepts no more heads until it is repaired. `None` if `failure` has another cause.
pub(crate) fn unloggable(failure: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut causes = std::iter::successors(Some(failure), |error| error.source());
    let extend = causes.find_map(|error| error.downcast_ref::<ExtendError>())?;
    match extend {
        ExtendError::Checkpoint(_)
        | ExtendError::Root
        | ExtendError::HeadMissing { .. }
        | ExtendError::TakenBack { .. }
        | ExtendError::Replaced { .. } => Some(chain(extend)),
        ExtendError::Io { .. } | ExtendError::Keys(_) => None,
    }
}

/// Whether any file of a record is there.
pub(crate) fn has_record(dir: &SessionDir) -> bool {
    ["journal", "checkpoint", "seal.dsse.json", "tile"]
        .iter()
        .any(|name| dir.record().join(name).exists())
}

/// Whether there is a record that is not sealed.
fn is_open(dir: &SessionDir) -> bool {
    custody_record::Reader::open(&dir.record()).is_ok_and(|reader| !reader.is_sealed())
}

/// Whether the session has a keeper's lock that no process holds, and a record that is not closed.
pub(crate) fn keeper_is_dead(dir: &SessionDir) -> io::Result<bool> {
    Ok(is_open(dir) && abandoned(dir)?.is_some())
}

/// Whether a living keeper holds the lock.
pub(crate) fn locked(dir: &SessionDir) -> io::Result<bool> {
    Ok(dir.lock().exists() && abandoned(dir)?.is_none())
}

impl Orchestrator {
    /// Compares what should be with what is, and makes it so: living keepers are adopted, the records of dead ones closed,
    /// launches that never came to be are begun again, and what nobody asked for is removed.
    pub(crate) async fn reconcile(self: &Arc<Self>) -> Result<(), SessionError> {
        self.bury_holders().await?;
        self.remove_orphans().await?;
        for row in self.plane().store().sessions_in(&["refused"]).await? {
            if row.root.is_none()
                && let Err(error) = self.seal_refusal(row.id).await
            {
                tracing::error!(session = %row.id, error = %chain(&error), "a refusal can't be recorded");
            }
        }
        for row in self.plane().store().sessions_in(&["failed"]).await? {
            // It was given up while its record could not be sealed; perhaps it can now.
            if row.root.is_none()
                && self.state().session(row.id).run().exists()
                && self.close_if_dead(row.id).await? == Closed::Sealed
            {
                self.plane().index(row.id, self.record(row.id)).await?;
            }
        }
        self.adopt().await
    }

    /// Takes up the living sessions that no living instance looks after.
    pub(crate) async fn adopt(self: &Arc<Self>) -> Result<(), SessionError> {
        self.bury_holders().await?;
        for row in self.plane().store().sessions_in(LIVING).await? {
            if self.followed(row.id).is_some() || self.is_launching(row.id) {
                continue;
            }
            let now = self.plane().now();
            let lease = self.lease_of(&row, now);
            if self.plane().store().lease(&lease, now, &Room::ENDLESS).await? != Taken::Taken {
                continue;
            }
            let (state, session) = (self.state().clone(), row.id);
            let looked = tokio::task::spawn_blocking(move || beginning(&state, session));
            match looked.await? {
                Err(error) => {
                    // Nothing is known, so nothing is done; the next look may tell.
                    tracing::error!(%session, error = %chain(&error), "it can't be determined whether a session was begun");
                    self.release(session).await;
                }
                Ok(Beginning::Begun) => self.follow(&row, None),
                Ok(Beginning::Never) => {
                    tracing::info!(session = %row.id, "its launch is begun again");
                    let this = self.clone();
                    self.begin_launch(row.id);
                    self.tasks.spawn(async move { this.launch_again(row).await });
                }
                Ok(Beginning::Lost(reason)) => self.lose(row.id, reason).await?,
            }
        }
        Ok(())
    }

    /// Removes the directories of sessions that never got on record: whoever was to ask for them died. Young ones may still
    /// be asked for by another process.
    async fn remove_orphans(&self) -> Result<(), SessionError> {
        let state = self.state().clone();
        let listed = tokio::task::spawn_blocking(move || crate::records::all(&state)).await?;
        let listed = listed.map_err(|e| SessionError::File {
            doing: "listing the sessions".to_owned(),
            source: io::Error::other(e),
        })?;
        let now = self.plane().now();
        for session in listed {
            let dir = self.state().session(session);
            let age = now.as_micros().saturating_sub(crate::create::id_micros(session));
            // What a keeper began is nobody's to remove, whatever the control log has lost.
            if dir.record().exists()
                || dir.begun().exists()
                || age < ORPHAN_MICROS
                || self.plane().store().session(session).await?.is_some()
            {
                continue;
            }
            crate::create::remove(&dir)
                .map_err(SessionError::file("removing what nobody asked for"))?;
            self.plane().vault().destroy(Scope::Session(session))?;
        }
        Ok(())
    }
}

/// How old the directory of a session that is not on record may get, in microseconds.
const ORPHAN_MICROS: i64 = 60_000_000;

/// The keeper's lock, if nobody holds it.
fn abandoned(dir: &SessionDir) -> io::Result<Option<File>> {
    let file = match File::open(dir.lock()) {
        Ok(file) => file,
        // Between its directory and its lock: it is just starting.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Closes and seals what a dead process left of a record.
pub(crate) fn close(
    state: &StateDir,
    session: SessionId,
    vault: &Vault,
    clock: &Arc<dyn Clock>,
) -> Result<(), Failure> {
    let dir = state.session(session);
    let keys = Keys::open(&state.keys())?;
    let log = InstallationLog::open(&state.log(), &keys)?;
    log.check()?;
    if dir.begun().exists() && !has_record(&dir) {
        return Err(JournalError::Gone(dir.record()).into());
    }
    let spec = SessionSpec::read(state, session, vault)?;
    let (journal, cut, last, closed) = match recover(&dir.record(), JournalOptions::default()) {
        Ok(found) => (found.journal, found.cut, found.last, found.closed),
        // What lies beside a seal is for `fsck` to move aside: it is nobody's to go on with.
        Err(JournalError::Sealed(_) | JournalError::Stale(_)) => return Ok(()),
        Err(JournalError::Empty(_)) => {
            let header = JournalHeader {
                session,
                policy: spec.policy,
                on_behalf_of: Some(spec.requester.clone()),
            };
            let journal = dir.record().join("journal");
            if journal.exists() {
                std::fs::remove_file(journal)?;
            }
            (Journal::create(&dir.record(), header, JournalOptions::default())?, None, None, false)
        }
        Err(error) => return Err(error.into()),
    };
    // What is told now is redacted and sealed as the dead keeper would have done it.
    let policy = PolicyVersion::parse(&std::fs::read_to_string(dir.policy())?)?;
    let key = vault.make(Scope::Session(session))?;
    let redactor = Arc::new(redactor(&spec, &policy, &key)?);
    let journal = journal.with_key(key).with_redactor(redactor.clone());
    if !closed {
        // First what can fail: a second attempt must not tell the gap again.
        let compared = compared(state, &dir, &spec, &policy, &redactor)?;
        let until = clock.now();
        let from = last.as_ref().map(|event| event.time);
        let mut text = format!(
            "the keeper of this session {}: what it had seen and not written is missing, and nothing was seen after that",
            fate(&dir)
        );
        let mut blobs = Vec::new();
        if let Some(cut) = cut {
            text.push_str(&format!("; {} torn bytes were cut off ({})", cut.bytes, cut.reason));
            blobs.push(cut.blob);
        }
        let gap = Gap {
            source: GapSource::Keeper,
            code: Some(GapCode::KeeperLost),
            reason: text,
            from,
            until: Some(until),
            process: None,
        };
        append(&journal, until, Body::RecorderGap(gap), blobs)?;
        if let Some(Compared { told, gaps }) = compared {
            for reason in gaps {
                let gap = Gap {
                    source: GapSource::Files,
                    code: Some(GapCode::NotCompared),
                    reason,
                    from: None,
                    until: Some(until),
                    process: None,
                };
                append(&journal, until, Body::RecorderGap(gap), Vec::new())?;
            }
            append(&journal, until, Body::WorkspaceCompared(told), Vec::new())?;
        }
        append(&journal, until, closing(&journal, &dir), Vec::new())?;
    }
    journal.seal(&keys, &log)?;
    Ok(())
}

fn append(
    journal: &Journal,
    time: Timestamp,
    body: Body,
    blobs: Vec<custody_record::event::BlobRef>,
) -> Result<(), Failure> {
    journal.observe(Draft { time, actor: Actor::Server, cause: None, body, blobs })?;
    Ok(())
}

/// The workspace against the record; `None` if there never was one.
fn compared(
    state: &StateDir,
    dir: &SessionDir,
    spec: &SessionSpec,
    policy: &PolicyVersion,
    redactor: &Redactor,
) -> Result<Option<Compared>, Failure> {
    if !dir.workspace().join("upper").exists() {
        return Ok(None);
    }
    let base = base::find(state, spec, policy.path_rules())?;
    // Mounted where nobody sees it; it goes with its descriptor.
    let overlay = mount_again(&base, dir)?;
    // The record that is replayed was redacted.
    let spelling = Spelling::by(redactor);
    let contents = custody_keeper::run::contents(&base, overlay.clean(), spelling)?;
    let upper = File::open(overlay.upper())?;
    for event in custody_record::Reader::open(&dir.record())?.events()? {
        contents.replay(&event?.body);
    }
    Ok(Some(compare(upper.as_fd(), &contents, spelling)?))
}

/// The dead keeper's layers. The kernel takes its mounts away some time after its death, and until then the upper
/// layer is in use.
fn mount_again(base: &Base, dir: &SessionDir) -> Result<Overlay, OverlayError> {
    let deadline = Instant::now() + MOUNT_PATIENCE;
    loop {
        let mounted = Overlay::mount(&OverlayConfig {
            lower: &base.tree(),
            layers: &dir.workspace(),
            owner: custody_keeper::run::workspace_owner(),
        });
        if mounted.is_ok() || Instant::now() >= deadline {
            return mounted;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the kernel tells nobody when a mount is gone"
        )]
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What became of the keeper.
fn fate(dir: &SessionDir) -> &'static str {
    match dir.gave_up().exists() {
        true => {
            "gave up, because its disk refused the end of its record for longer than disk.end_wait allows"
        }
        false => "died",
    }
}

fn closing(journal: &Journal, dir: &SessionDir) -> Body {
    let mut counts = journal.counts();
    *counts.entry("session.closed".to_owned()).or_default() += 1;
    let started = counts.contains_key("session.started");
    let by = if started { Coverage::Gaps } else { Coverage::Absent };
    let coverage = Place::coverage(|place| match place {
        Place::Workspace
        | Place::Scratch
        | Place::Image
        | Place::Processes
        | Place::Network
        | Place::Terminal => by,
        Place::GitObjects | Place::Models => Coverage::Absent,
    });
    let reason = match started {
        true => format!(
            "its keeper {}; what the session wrote is kept in {} of its directory",
            fate(dir),
            dir.workspace().join("upper").strip_prefix(dir.path()).unwrap_or(dir.path()).display()
        ),
        false => format!("its keeper {} before the command ran", fate(dir)),
    };
    let code = match dir.gave_up().exists() {
        true => ClosingCode::KeeperGaveUp,
        false => ClosingCode::KeeperDied,
    };
    Body::SessionClosed(SessionClosed {
        outcome: Outcome::Interrupted,
        code: Some(code),
        limit: None,
        reason,
        exit: None,
        counts,
        coverage,
    })
}
