//! Erase: the content of a session that is over is made unreadable for ever. What was recorded of it stays and verifies.
//!
//! Order: a note that it is about to happen, the control event, the signed note in the record, the end of the key, the end of
//! what it sealed. Whoever dies in between has it completed at the next start, if the event is on record.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use custody_control::Author;
use custody_keeper::layout::StateDir;
use custody_model::{Actor, SessionId, UserName};
use custody_record::control::{ControlBody, ControlEvent, SessionReason};
use custody_record::{Blobs, Erasure, Keys, Reader, Scope, Vault};
use custody_store::SessionRow;
use serde::{Deserialize, Serialize};

use crate::error::SessionError;
use crate::orchestrator::Orchestrator;
use crate::steps::{self, Step, step};

/// Events of the control log that are read at once, when an erasure is looked for.
const BATCH: usize = 512;

/// What the steps share.
struct Context {
    author: Author,
    session: SessionId,
    reason: String,
    event: Option<ControlEvent>,
}

const STEPS: &[Step<Context>] =
    &[step!("begin", begin), step!("record", record), step!("destroy", destroy)];

/// See [`steps::every_step`].
pub(crate) fn step_names() -> Vec<String> {
    steps::names("erase", STEPS)
}

/// That an erasure was begun, and where its event would be in the control log.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    session: SessionId,
    from: u64,
}

/// Why content is erased.
pub(crate) enum Because<'a> {
    /// An admin says so.
    Asked(&'a str),
    /// Its retention class ended.
    Ended,
}

impl Orchestrator {
    /// Erases the content of a session that is over.
    ///
    /// # Errors
    /// [`SessionError::Conflict`] if it is not over, is held, was erased already, or its policy refuses that it is erased before
    /// its class has ended.
    pub async fn erase(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        reason: &str,
    ) -> Result<SessionRow, SessionError> {
        crate::hold::reason(reason)?;
        self.erase_because(author, session, Because::Asked(reason)).await
    }

    /// The same, whoever it is that wants it.
    pub(crate) async fn erase_because(
        self: &Arc<Self>,
        author: &Author,
        session: SessionId,
        because: Because<'_>,
    ) -> Result<SessionRow, SessionError> {
        // Nobody holds it between the look at its holds and the event.
        let _turn = self.holding.lock().await;
        let row = self.row(session).await?;
        let conflict = |reason: String| {
            Err(SessionError::Conflict { session, state: row.state.name(), reason })
        };
        // A record that is not sealed may still be written to.
        let open = Reader::open(&self.record(session)).is_ok_and(|reader| !reader.is_sealed());
        if !row.state.is_final() || open {
            return conflict("only what is over and sealed can be erased".to_owned());
        }
        if self.is_erased(&row).await? {
            return conflict("its content was erased already".to_owned());
        }
        let retention = self.plane().retention(&row).await?;
        if let Some(hold) = &retention.hold {
            return conflict(crate::hold::told(&row, hold));
        }
        let ended = retention.until.is_some_and(|until| until <= self.plane().now());
        let reason = match because {
            Because::Asked(_) if !ended && !retention.early_erasure => {
                let until = match retention.until {
                    Some(until) => format!("until {until}"),
                    None => "for ever".to_owned(),
                };
                return conflict(format!(
                    "its retention class {} keeps it {until}, and `early_erasure: refused` stands in the policy",
                    retention.class
                ));
            }
            Because::Asked(reason) => reason.to_owned(),
            Because::Ended => match retention.until.filter(|_| ended) {
                Some(until) => format!(
                    "its retention class {} of policy {} ended at {until}",
                    retention.class, retention.policy
                ),
                None => return conflict("its retention class has not ended".to_owned()),
            },
        };
        let author = author.clone();
        let mut context = Context { author, session, reason, event: None };
        steps::run(self, "erase", STEPS, &mut context).await?;
        self.row(session).await
    }

    /// That the content of a session was erased, if it was.
    ///
    /// # Errors
    /// If the note can't be read.
    pub async fn erasure(&self, session: SessionId) -> Result<Option<Erasure>, SessionError> {
        let record = self.record(session);
        Ok(tokio::task::spawn_blocking(move || Erasure::read(&record)).await??)
    }

    /// Whether its erasure is decided or done.
    pub(crate) async fn is_erased(&self, row: &SessionRow) -> Result<bool, SessionError> {
        Ok(row.erased_at.is_some() || self.erasure(row.id).await?.is_some())
    }

    /// Completes the erasures in whose middle somebody died.
    pub(crate) async fn complete_erasures(self: &Arc<Self>) -> Result<(), SessionError> {
        let doing = || SessionError::file("looking for erasures that were begun");
        let entries = match fs::read_dir(pending(self.state())) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(doing()(error)),
        };
        for entry in entries {
            let path = entry.map_err(doing())?.path();
            let bytes = fs::read(&path).map_err(doing())?;
            // One that was never written to its end was not begun.
            let Ok(begun) = serde_json::from_slice::<Begun>(&bytes) else { continue };
            match self.erasing_event(&begun).await? {
                Some(event) => {
                    tracing::warn!(session = %begun.session, "an erasure is completed");
                    self.carry_out(event).await?;
                }
                None => fs::remove_file(&path).map_err(doing())?,
            }
        }
        Ok(())
    }

    async fn erasing_event(&self, begun: &Begun) -> Result<Option<ControlEvent>, SessionError> {
        let mut from = begun.from;
        loop {
            let log = self.plane().log().clone();
            let read = tokio::task::spawn_blocking(move || log.read(from, BATCH));
            let events = read.await?.map_err(custody_control::ControlError::from)?;
            let Some(last) = events.last() else { return Ok(None) };
            from = last.seq + 1;
            let meant = |event: &ControlEvent| matches!(&event.body, ControlBody::RetentionDeleted(deleted) if deleted.session == begun.session);
            if let Some(found) = events.into_iter().find(meant) {
                return Ok(Some(found));
            }
        }
    }

    async fn carry_out(&self, event: ControlEvent) -> Result<(), SessionError> {
        let (state, vault) = (self.state().clone(), self.plane().vault().clone());
        tokio::task::spawn_blocking(move || carry_out(&state, &vault, &event)).await?
    }
}

fn pending(state: &StateDir) -> PathBuf {
    state.vault().join("erasing")
}

fn pending_file(state: &StateDir, session: SessionId) -> PathBuf {
    pending(state).join(format!("{session}.json"))
}

async fn begin(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let path = pending_file(orchestrator.state(), context.session);
    let log = orchestrator.plane().log().clone();
    let size = tokio::task::spawn_blocking(move || log.size()).await?;
    let from = size.map_err(custody_control::ControlError::from)?;
    let begun = Begun { session: context.session, from };
    let doing = || SessionError::file("the erasure can't be begun");
    if path.exists() {
        return Ok(());
    }
    let json = serde_json::to_vec(&begun)?;
    fs::create_dir_all(pending(orchestrator.state())).map_err(doing())?;
    tokio::task::spawn_blocking(move || crate::create::durable(&[(path, &json)]))
        .await?
        .map_err(doing())
}

async fn record(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    if context.event.is_some() {
        return Ok(());
    }
    let (session, reason) = (context.session, context.reason.clone());
    let body = ControlBody::RetentionDeleted(SessionReason { session, reason });
    let events = orchestrator.plane().record(&context.author, vec![body]).await?;
    context.event = events.into_iter().next();
    Ok(())
}

async fn destroy(
    orchestrator: &Arc<Orchestrator>,
    context: &mut Context,
) -> Result<(), SessionError> {
    let event = context.event.clone();
    let missing = || SessionError::Fault("erase: a step before was not done".to_owned());
    orchestrator.carry_out(event.ok_or_else(missing)?).await
}

/// Everything after the event. It may be done again.
fn carry_out(state: &StateDir, vault: &Vault, event: &ControlEvent) -> Result<(), SessionError> {
    let ControlBody::RetentionDeleted(SessionReason { session, reason }) = &event.body else {
        return Err(SessionError::Fault(
            "erase: another event than that of the erasure".to_owned(),
        ));
    };
    let dir = state.session(*session);
    let by: UserName = match &event.actor {
        Actor::User { name } => name.clone(),
        Actor::Process(_) | Actor::Keeper | Actor::Server => UserName::system(),
    };
    let erasure = Erasure {
        session: *session,
        by,
        at: event.time,
        reason: reason.clone(),
        event: event.id,
        seq: Some(event.seq),
    };
    let record = dir.record();
    if record.exists() && Erasure::read(&record)?.is_none() {
        erasure.write(&record, &Keys::open(&state.keys())?)?;
    }
    vault.destroy(Scope::Session(*session))?;
    let doing = || SessionError::file("removing what was erased");
    Blobs::remove_sealed(&record).map_err(doing())?;
    // Kept of a session whose keeper died, because nobody else has what the agent wrote.
    match fs::remove_dir_all(dir.workspace()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(doing()(error)),
        Ok(()) | Err(_) => {}
    }
    for path in [dir.spec(), pending_file(state, *session)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(doing()(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
