//! From a session's record to the store: state, counts, files and outputs.
//!
//! It is fed every event from the first on. What it gives depends on the events and on the control plane's side of the
//! row alone, not on when it is asked, so that `reindex` comes to the same rows as the follower of a living session.

use std::collections::{BTreeMap, BTreeSet};

use custody_model::state::session::{SessionState, StopReason};
use custody_model::{LimitName, SessionId, Timestamp, WorkspacePath};
use custody_record::event::{
    Body, ChangedFile, ClosingCode, CommitCreated, Deed, FileRead, Outcome, SessionClosed,
};
use custody_record::tlog::{Frontier, leaf_hash};
use custody_record::{Blobs, Event, ReadError};
use custody_store::{BlobRow, Change, CommitRow, Counts, FileRow, SessionRow, Touch, UnitOfWork};

use crate::error::ControlError;

/// What is known of one session's record so far.
#[derive(Debug)]
pub struct RecordIndexer {
    session: SessionId,
    repository: String,
    blobs: Blobs,
    frontier: Frontier,
    counts: Counts,
    files: BTreeMap<WorkspacePath, FileRow>,
    changed: BTreeSet<WorkspacePath>,
    outputs: Vec<(CommitRow, Vec<BlobRow>)>,
    outputs_given: usize,
    started_at: Option<Timestamp>,
    paused: Option<(Timestamp, String)>,
    paused_micros: u64,
    last_at: Option<Timestamp>,
    closed: Option<(Timestamp, SessionClosed)>,
    sealed: bool,
}

impl RecordIndexer {
    /// Nothing was read yet of the record of `session`, whose blobs are `blobs`.
    #[must_use]
    pub fn new(session: SessionId, repository: String, blobs: Blobs) -> Self {
        Self {
            session,
            repository,
            blobs,
            frontier: Frontier::default(),
            counts: Counts::default(),
            files: BTreeMap::new(),
            changed: BTreeSet::new(),
            outputs: Vec::new(),
            outputs_given: 0,
            started_at: None,
            paused: None,
            paused_micros: 0,
            last_at: None,
            closed: None,
            sealed: false,
        }
    }

    /// Number of events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.frontier.size()
    }

    /// Takes the next event, as its canonical bytes.
    ///
    /// # Errors
    /// [`ControlError::Record`], [`ControlError::Blob`].
    pub fn add(&mut self, entry: &[u8]) -> Result<(), ControlError> {
        let seq = self.frontier.size();
        let event = Event::from_canonical(entry)
            .map_err(|source| ControlError::Record(ReadError::Event { seq, source }))?;
        self.frontier.push(leaf_hash(entry));
        self.last_at = self.last_at.max(Some(event.time));
        self.take(event)
    }

    /// The record is sealed: nothing follows.
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    fn take(&mut self, event: Event) -> Result<(), ControlError> {
        let at = (event.seq, event.time);
        for deed in Deed::of(&event.body) {
            self.count(at, deed);
        }
        match event.body {
            Body::SessionAuthorized(_)
            | Body::SessionProvisioned(_)
            | Body::PolicyDecided(_)
            | Body::PolicyViolated(_)
            | Body::ProcessExecuted(_)
            | Body::ProcessExited(_)
            | Body::FileOpened(_)
            | Body::FileReopened(_)
            | Body::FileOutside(_)
            | Body::FileWritten(_)
            | Body::FileRenamed(_)
            | Body::FileRemoved(_)
            | Body::FileLinked(_)
            | Body::FileSymlinked(_)
            | Body::AttributesChanged(_)
            | Body::FileDenied(_)
            | Body::EgressDenied(_)
            | Body::TerminalRecorded(_)
            | Body::WorkspaceCompared(_)
            | Body::RedactionApplied(_)
            | Body::RecorderGap(_)
            | Body::RecorderDegraded(_)
            | Body::RecorderRestored(_) => {}
            Body::SessionStarted(_) => self.started_at = Some(event.time),
            Body::SessionPaused(paused) => self.paused = Some((event.time, paused.reason)),
            Body::SessionResumed(resumed) => {
                self.paused = None;
                self.paused_micros += resumed.paused_micros;
            }
            Body::SessionClosed(closed) => self.closed = Some((event.time, closed)),
            Body::CommitCreated(commit) => {
                let files = self.files_of(&commit, &event.blobs)?;
                self.output(at, event.id, commit, files);
            }
        }
        Ok(())
    }

    /// Counts what was done, and keeps to which file.
    fn count(&mut self, at: (u64, Timestamp), deed: Deed<'_>) {
        match deed {
            Deed::Read { path, content } => self.touch(at, path, |row| read(row, content)),
            Deed::Wrote { path, content } => self.touch(at, path, |row| wrote(row, content)),
            Deed::Removed { path } => self.touch(at, path, |row| row.touch.removed = true),
            Deed::Refused(denied) => {
                self.counts.denied += denied.count;
                self.touch(at, &denied.path, |row| row.touch.denied = true);
            }
            Deed::Ran(_) => self.counts.executed += 1,
            Deed::EgressRefused(_) => self.counts.egress_denied += 1,
            Deed::Missed(_) => self.counts.gaps += 1,
            Deed::ReadAgain { .. } | Deed::RanInstead(_) | Deed::Violated(_) => {}
        }
    }

    fn touch(
        &mut self,
        (seq, time): (u64, Timestamp),
        path: &WorkspacePath,
        how: impl FnOnce(&mut FileRow),
    ) {
        let row = self.files.entry(path.clone()).or_insert_with(|| FileRow {
            session: self.session,
            repository: self.repository.clone(),
            path: path.clone(),
            touch: Touch::default(),
            first_at: time,
            last_at: time,
            first_seq: seq,
            last_seq: seq,
            read_blob: None,
            read_digest: None,
            written_blob: None,
            written_digest: None,
        });
        row.last_at = row.last_at.max(time);
        row.last_seq = seq;
        how(row);
        self.changed.insert(path.clone());
    }

    /// All files of a commit; those that its event has no room for are a blob.
    fn files_of(
        &self,
        commit: &CommitCreated,
        blobs: &[custody_record::event::BlobRef],
    ) -> Result<Vec<ChangedFile>, ControlError> {
        if commit.files.len() as u64 == commit.file_count {
            return Ok(commit.files.clone());
        }
        let Some(blob) = blobs.iter().find(|blob| blob.role == "files") else {
            return Ok(commit.files.clone());
        };
        let bytes = self.blobs.get(&blob.digest)?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| commit.files.clone()))
    }

    fn output(
        &mut self,
        (seq, at): (u64, Timestamp),
        event: custody_model::EventId,
        commit: CommitCreated,
        files: Vec<ChangedFile>,
    ) {
        let blobs = files.into_iter().filter_map(|file| {
            let (session, commit) = (self.session, commit.commit.clone());
            file.blob.map(|blob| BlobRow { session, commit, path: file.path, blob })
        });
        let blobs = blobs.collect();
        let row = CommitRow {
            session: self.session,
            repository: self.repository.clone(),
            commit: commit.commit,
            tree: commit.tree,
            author: commit.author,
            file_count: commit.file_count,
            at,
            seq,
            event,
        };
        self.outputs.push((row, blobs));
    }

    /// What the store is to show now. `row` is the session's, as it is there. `None` if nothing is new.
    #[must_use]
    pub fn unit(&mut self, row: SessionRow) -> Option<UnitOfWork> {
        let record = Some((self.session, row.events));
        let mut changes: Vec<Change> = Vec::new();
        for path in std::mem::take(&mut self.changed) {
            changes.extend(self.files.get(&path).map(|row| Change::File(Box::new(row.clone()))));
        }
        for (commit, blobs) in self.outputs.get(self.outputs_given..).unwrap_or_default() {
            changes.push(Change::Commit(commit.clone()));
            changes.extend(blobs.iter().cloned().map(Change::Blob));
        }
        self.outputs_given = self.outputs.len();
        let next = self.row(row.clone());
        if next == row && changes.is_empty() {
            return None;
        }
        changes.push(Change::Session(Box::new(next)));
        Some(UnitOfWork { control: None, record, changes })
    }

    /// After a unit was refused as stale: everything is to be given again.
    pub fn give_again(&mut self) {
        self.changed = self.files.keys().cloned().collect();
        self.outputs_given = 0;
    }

    fn row(&self, mut row: SessionRow) -> SessionRow {
        row.events = self.events();
        row.counts = self.counted();
        row.commit = self.outputs.last().map(|(commit, _)| commit.commit.clone());
        row.updated_at = self.last_at.map_or(row.updated_at, |at| at.max(row.updated_at));
        let lost = matches!(row.state, SessionState::Lost { .. });
        if let Some((_, closed)) = self.closed.as_ref().filter(|_| self.sealed && !lost) {
            row.outcome = Some(closed.outcome);
            row.reason = Some(closed.reason.clone());
            row.exit = closed.exit;
            row.root = Some(self.frontier.root());
        }
        row.state = self.state(&row);
        row
    }

    fn counted(&self) -> Counts {
        let mut counts = self.counts;
        for row in self.files.values() {
            counts.read += u64::from(row.touch.read);
            counts.written += u64::from(row.touch.written);
            counts.removed += u64::from(row.touch.removed);
        }
        counts
    }

    /// Where the session stands by its record. A record is a history of transitions that did happen, in their order: this
    /// reads the last of them.
    fn state(&self, row: &SessionRow) -> SessionState {
        // A record that comes back tells what it tells, and not that it was never lost.
        if let SessionState::Lost { .. } = &row.state {
            return row.state.clone();
        }
        if let Some((at, closed)) = self.closed.as_ref().filter(|_| self.sealed) {
            return ended(*at, closed, row);
        }
        let Some(started_at) = self.started_at else { return row.state.clone() };
        // Given up while its record could not be sealed.
        if row.state.is_final() {
            return row.state.clone();
        }
        let paused_micros = self.paused_micros;
        match (&row.stop, &self.paused) {
            (Some(stop), _) => SessionState::Stopping {
                started_at,
                since: stop.at,
                reason: StopReason::Asked { by: stop.by.clone() },
            },
            (None, Some((since, reason))) => SessionState::Paused {
                started_at,
                paused_micros,
                since: *since,
                reason: reason.clone(),
            },
            (None, None) => SessionState::Running { started_at, paused_micros },
        }
    }
}

fn ended(at: Timestamp, closed: &SessionClosed, row: &SessionRow) -> SessionState {
    let reason = closed.reason.clone();
    match closed.outcome {
        Outcome::Completed => SessionState::Sealed { at, reason: StopReason::CommandEnded },
        Outcome::Stopped => SessionState::Sealed { at, reason: stopped(closed, row) },
        Outcome::Refused => SessionState::Refused { at, reason },
        Outcome::Failed => SessionState::Failed { at, reason },
        Outcome::Interrupted => SessionState::Interrupted { at, reason },
    }
}

/// The reason for a stop: the record has its code, the control log has the user who asked for it.
fn stopped(closed: &SessionClosed, row: &SessionRow) -> StopReason {
    let asked = || row.stop.as_ref().map(|stop| StopReason::Asked { by: stop.by.clone() });
    let limit = StopReason::Limit { limit: closed.limit.unwrap_or(LimitName::Untold) };
    match closed.code {
        Some(ClosingCode::LimitReached) => limit,
        Some(ClosingCode::KeeperTerminated) => StopReason::KeeperTerminated,
        Some(ClosingCode::RecordUnwritable) => StopReason::RecordUnwritable,
        Some(
            ClosingCode::Asked
            | ClosingCode::CommandEnded
            | ClosingCode::CommandNotRun
            | ClosingCode::SandboxLost
            | ClosingCode::Refused
            | ClosingCode::NotProvisioned
            | ClosingCode::StepFailed
            | ClosingCode::RecordingFailed
            | ClosingCode::OutputsFailed
            | ClosingCode::KeeperDied
            | ClosingCode::KeeperGaveUp,
        ) => asked().unwrap_or(StopReason::Client),
        // From before the codes.
        None => asked().unwrap_or(limit),
    }
}

fn read(row: &mut FileRow, content: &FileRead) {
    if !row.touch.read {
        row.read_blob.clone_from(&content.git_blob);
        row.read_digest = content.digest;
    }
    row.touch.read = true;
}

fn wrote(row: &mut FileRow, content: Option<&FileRead>) {
    row.touch.written = true;
    if let Some(content) = content {
        row.written_blob.clone_from(&content.git_blob);
        row.written_digest = content.digest;
    }
}
