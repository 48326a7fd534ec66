//! An installation with many sessions, all of one repository, spread over one year.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use custody_control::ControlPlane;
use custody_model::{
    Actor, Digest, EventId, GitOid, Limits, SessionId, StartSession, SystemClock, Timestamp,
    UserName,
};
use custody_record::control::{ControlBody, ControlDraft, ControlLog, SessionRequested};
use custody_record::event::{
    Access, Body, ChangeStatus, ChangedFile, CommitAuthor, CommitCreated, Coverage, Decision,
    Draft, ExitStatus, FileKind, FileOpened, FileRead, FileWritten, Outcome, RequestedSession,
    SessionAuthorized, SessionClosed, SessionStarted,
};
use custody_record::{
    InstallationLog, Journal, JournalHeader, JournalOptions, Keys, Sink as _, Verifier,
};
use custody_store_sqlite::SqliteStore;

use super::Failed;
use super::history::{COMMITS, Commit, FILES, History, NAME, file};

/// 2025-11-24: from here on, for a year.
const BEGIN: i64 = 1_763_942_400_000_000;
const YEAR: i64 = 31_536_000_000_000;

/// Threads that write records.
const WRITERS: usize = 2;

/// Control events that are appended together.
const BATCH: usize = 500;

/// Files that a session reads beside the README.
const READ: usize = 11;

/// Where everything lies.
pub(crate) struct Population {
    place: PathBuf,
    keys: Keys,
    sessions: Vec<SessionId>,
}

/// Always the same numbers for the same session.
fn mixed(session: usize, number: usize) -> usize {
    let text = format!("{session}/{number}");
    let bytes = Digest::of(text.as_bytes());
    bytes.as_bytes()[..6].iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte))
}

impl Population {
    /// Writes and seals the records of so many sessions; every hundredth part of them has a commit of the history.
    pub(crate) fn write(place: &Path, sessions: usize, history: &History) -> Result<Self, Failed> {
        let step = YEAR / i64::try_from(sessions)?;
        let ids = (0..sessions).zip(0_i64..).map(|(number, nth)| {
            let mut random = [0; 10];
            random[..8].copy_from_slice(&number.to_be_bytes());
            SessionId::new(Timestamp::from_micros(BEGIN + nth * step), random)
        });
        let population = Self {
            place: place.to_owned(),
            keys: Keys::from_seed("custody/0123456789abcdef", [7; 32]),
            sessions: ids.collect(),
        };
        let next = AtomicUsize::new(0);
        let write = || -> Result<(), Failed> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(session) = population.sessions.get(number) else { return Ok(()) };
                let apart = sessions / COMMITS;
                let commit = number
                    .is_multiple_of(apart)
                    .then(|| history.commits.get(number / apart))
                    .flatten();
                population.session(number, *session, commit)?;
                if number > 0 && number.is_multiple_of(sessions / 10) {
                    eprintln!("bench: investigate  {number} of {sessions} records written");
                }
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
            let mut ended = threads.into_iter().map(|thread| thread.join());
            ended.try_for_each(|ended| ended.map_err(|_| "a writer panicked")?)
        })?;
        Ok(population)
    }

    /// Directory of a session's record.
    pub(crate) fn record(&self, session: SessionId) -> PathBuf {
        record_in(&self.place, session)
    }

    /// The key that records are signed with.
    pub(crate) fn verifier(&self) -> Verifier {
        self.keys.verifier()
    }

    /// The control plane, whose log names every session; its store is empty.
    pub(crate) async fn plane(&self) -> Result<ControlPlane, Failed> {
        let store = SqliteStore::open(&self.place.join("index.sqlite")).await?;
        let vault = Arc::new(custody_record::Vault::open(&self.place.join("vault"))?);
        let log = ControlLog::open(&self.place.join("control"), &self.keys, vault)?;
        let plane = ControlPlane::new(log, Arc::new(store), Arc::new(SystemClock));
        let numbers: Vec<usize> = (0..self.sessions.len()).collect();
        for batch in numbers.chunks(BATCH) {
            let drafts = batch.iter().map(|number| {
                let time = plane.now();
                Ok(ControlDraft {
                    id: EventId::new(time, plane.random()?),
                    time,
                    actor: Actor::Server,
                    via: None,
                    cause: None,
                    body: self.requested(*number)?,
                    blobs: Vec::new(),
                    redactions: Vec::new(),
                })
            });
            plane.log().append(drafts.collect::<Result<_, Failed>>()?)?;
        }
        Ok(plane)
    }

    /// Makes the store anew from the logs.
    pub(crate) async fn reindex(&self, plane: &ControlPlane) -> Result<(), Failed> {
        let place = self.place.clone();
        let tenth = (self.sessions.len() / 10).max(1) as u64;
        let progress = |done: u64| {
            if done.is_multiple_of(tenth) {
                eprintln!("bench: investigate  {done} records indexed");
            }
        };
        let record = move |session| record_in(&place, session);
        let done = plane.reindex(self.sessions.clone(), &record, &progress).await?;
        if done.sessions != self.sessions.len() as u64 || !done.unreadable.is_empty() {
            return Err(format!("not everything was indexed: {done:?}").into());
        }
        Ok(())
    }

    fn requested(&self, number: usize) -> Result<ControlBody, Failed> {
        let request = StartSession {
            requester: requester(number)?,
            repository: NAME.to_owned(),
            base_commit: oid(0, 0)?,
            base_tree: oid(0, 1)?,
            dirty: false,
            command: vec!["agent".to_owned()],
            image: "host".to_owned(),
            environment: Vec::new(),
            limits: Limits::default(),
            strict: false,
        };
        Ok(ControlBody::SessionRequested(Box::new(SessionRequested {
            session: self.sessions[number],
            project: "shop".parse()?,
            request,
            command_whole: None,
            environment_whole: None,
            policy: Digest::of(b"policy"),
            policy_name: "local".to_owned(),
            decision: Decision::Allow,
            rule: "requesters: [*]".to_owned(),
            reason: String::new(),
            approvals: 0,
            approvers: Vec::new(),
            idempotency: None,
        })))
    }

    fn session(
        &self,
        number: usize,
        session: SessionId,
        commit: Option<&Commit>,
    ) -> Result<(), Failed> {
        let header = JournalHeader {
            session,
            policy: Digest::of(b"policy"),
            on_behalf_of: Some(requester(number)?),
        };
        let journal = Journal::create(&self.record(session), header, JournalOptions::default())?;
        let step = YEAR / i64::try_from(self.sessions.len())?;
        // A session takes ten minutes; its events come at one time each second or so.
        let mut time = BEGIN + i64::try_from(number)? * step;
        let mut observe = |body| {
            time += 25_000_000;
            journal.observe(Draft::new(Timestamp::from_micros(time), Actor::Keeper, body))
        };
        observe(authorized(number)?)?;
        observe(Body::SessionStarted(SessionStarted {
            command: vec!["agent".to_owned()],
            command_whole: None,
            cwd: "/workspace".to_owned(),
            terminal: false,
        }))?;
        observe(opened("README.md")?)?;
        for nth in 0..READ {
            observe(opened(&file(mixed(number, nth) % FILES))?)?;
        }
        let commit = commit.map_or_else(|| invented(number), |commit| Ok(created(commit)))?;
        for changed in &commit.files {
            observe(Body::FileWritten(FileWritten {
                path: changed.path.clone(),
                kind: FileKind::File,
                before: None,
                after: FileRead { git_blob: changed.blob.clone(), digest: None, size: Some(400) },
                open: false,
                uncertain: None,
            }))?;
        }
        observe(Body::CommitCreated(commit))?;
        let mut counts = journal.counts();
        *counts.entry("session.closed".to_owned()).or_insert(0) += 1;
        observe(Body::SessionClosed(SessionClosed {
            outcome: Outcome::Completed,
            code: None,
            limit: None,
            reason: "the command ended".to_owned(),
            exit: Some(ExitStatus::Code(0)),
            counts,
            coverage: BTreeMap::from([("files".to_owned(), Coverage::Complete)]),
        }))?;
        let log = InstallationLog::open(&self.place.join("installation"), &self.keys)?;
        journal.seal(&self.keys, &log)?;
        Ok(())
    }
}

fn record_in(place: &Path, session: SessionId) -> PathBuf {
    place.join("sessions").join(session.to_string())
}

fn requester(number: usize) -> Result<UserName, Failed> {
    Ok(format!("dev{:02}@example.org", number % 50).parse()?)
}

/// An id of git's that names nothing.
fn oid(session: usize, number: usize) -> Result<GitOid, Failed> {
    let text = format!("object {number} of session {session}");
    Ok(Digest::of(text.as_bytes()).hex()[..40].parse()?)
}

fn authorized(number: usize) -> Result<Body, Failed> {
    Ok(Body::SessionAuthorized(SessionAuthorized {
        requester: requester(number)?,
        approvers: Vec::new(),
        request: RequestedSession {
            repository: NAME.to_owned(),
            base_commit: oid(0, 0)?,
            base_tree: oid(0, 1)?,
            dirty: false,
            command: vec!["agent".to_owned()],
            command_whole: None,
            image: "host".to_owned(),
            limits: Limits::default(),
            environment: Vec::new(),
            environment_whole: None,
            strict: false,
        },
        policy_name: "local".to_owned(),
        rule: "requesters: [*]".to_owned(),
    }))
}

fn opened(path: &str) -> Result<Body, Failed> {
    Ok(Body::FileOpened(FileOpened {
        path: path.parse()?,
        kind: FileKind::File,
        access: Access::Read,
        content: FileRead::default(),
        uncertain: None,
    }))
}

fn created(commit: &Commit) -> CommitCreated {
    let file = |(path, blob): &(_, GitOid)| changed(Clone::clone(path), blob.clone());
    let files: Vec<ChangedFile> = commit.files.iter().map(file).collect();
    output(commit.commit.clone(), commit.tree.clone(), commit.parents.clone(), files)
}

/// A commit that nobody asks about, of one to five files.
fn invented(number: usize) -> Result<CommitCreated, Failed> {
    let mut files = Vec::new();
    for nth in 0..=mixed(number, 100) % 5 {
        let path = file(mixed(number, 200 + nth) % FILES).parse()?;
        files.push(changed(path, oid(number, 10 + nth)?));
    }
    Ok(output(oid(number, 1)?, oid(number, 2)?, vec![oid(0, 0)?], files))
}

fn changed(path: custody_model::WorkspacePath, blob: GitOid) -> ChangedFile {
    ChangedFile { path, status: ChangeStatus::Modified, blob: Some(blob), digest: None }
}

fn output(
    commit: GitOid,
    tree: GitOid,
    parents: Vec<GitOid>,
    files: Vec<ChangedFile>,
) -> CommitCreated {
    let (branch, author) = ("custody/bench".to_owned(), CommitAuthor::Custody);
    let file_count = files.len() as u64;
    CommitCreated {
        commit,
        tree,
        parents,
        branch,
        author,
        files,
        file_count,
        refs: None,
        submodule: None,
        submodules: None,
    }
}
