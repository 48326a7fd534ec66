//! A session's record, written by the real journal in the keeper's place.

use std::collections::BTreeMap;

use custody_model::{Actor, Clock as _, ProcessRef, SystemClock};
use custody_record::event::{
    Access, Body, Coverage, ExitStatus, FileKind, FileOpened, FileRead, Outcome, RequestedSession,
    SessionAuthorized, SessionClosed, SessionStarted, TerminalRecorded,
};
use custody_record::living::publish;
use custody_record::{
    Draft, InstallationLog, Journal, JournalHeader, JournalOptions, Keys, Sink as _,
};
use custody_store::SessionRow;

use crate::installation::Installation;

pub(crate) struct Recording {
    journal: Journal,
    keys: Keys,
    log: InstallationLog,
}

impl Recording {
    pub(crate) fn begin(installation: &Installation, row: &SessionRow) -> Self {
        let keys = Keys::open(&installation.state.keys()).unwrap();
        let log = InstallationLog::open(&installation.state.log(), &keys).unwrap();
        let requester = row.request.requester.clone();
        let header = JournalHeader {
            session: row.id,
            policy: row.policy,
            on_behalf_of: Some(requester.clone()),
        };
        let record = installation.orchestrator.record(row.id);
        let journal = Journal::create(&record, header, JournalOptions::default()).unwrap();
        let recording = Self { journal, keys, log };
        let request = row.request.clone();
        recording.keeper(Body::SessionAuthorized(SessionAuthorized {
            requester,
            approvers: Vec::new(),
            request: RequestedSession {
                repository: request.repository,
                base_commit: request.base_commit,
                base_tree: request.base_tree,
                dirty: request.dirty,
                command: request.command.clone(),
                command_whole: None,
                image: request.image,
                limits: request.limits,
                environment: request.environment,
                environment_whole: None,
                strict: request.strict,
            },
            policy_name: row.policy_name.clone(),
            rule: row.rule.clone(),
        }));
        recording.keeper(Body::SessionStarted(SessionStarted {
            command: request.command,
            command_whole: None,
            cwd: "/workspace".to_owned(),
            terminal: false,
        }));
        recording
    }

    fn keeper(&self, body: Body) {
        self.observe(Actor::Keeper, body);
    }

    fn observe(&self, actor: Actor, body: Body) {
        self.journal.observe(Draft::new(SystemClock.now(), actor, body)).unwrap();
    }

    /// A process opens a file. It is there for readers at once.
    pub(crate) fn opens(&self, path: &str) {
        let content = FileRead { git_blob: None, digest: None, size: Some(6) };
        let opened = FileOpened {
            path: path.parse().unwrap(),
            kind: FileKind::File,
            access: Access::Read,
            content,
            uncertain: None,
        };
        let process = Actor::Process(ProcessRef { image: None, pid: 7 });
        self.observe(process, Body::FileOpened(opened));
        self.journal.flush().unwrap();
    }

    /// Signs what is recorded so far for whoever follows, as a keeper does about once a second.
    pub(crate) fn publishes(&self) {
        publish(&self.journal, &self.log, 0, SystemClock.now()).unwrap();
    }

    /// What was seen on the terminal is kept.
    fn terminal(&self) {
        let cast = b"{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}\n";
        let blob = self.journal.blobs().put_bytes("terminal", "application/x-asciicast", cast);
        let recorded = TerminalRecorded { output_bytes: 0, input_bytes: 0, cut_bytes: 0 };
        let mut draft =
            Draft::new(SystemClock.now(), Actor::Keeper, Body::TerminalRecorded(recorded));
        draft.blobs.push(blob.unwrap());
        self.journal.observe(draft).unwrap();
    }

    /// Closes and seals it.
    pub(crate) fn end(self) {
        self.terminal();
        let mut counts = self.journal.counts();
        *counts.entry("session.closed".to_owned()).or_insert(0) += 1;
        self.keeper(Body::SessionClosed(SessionClosed {
            outcome: Outcome::Completed,
            code: None,
            limit: None,
            reason: "the command ended".to_owned(),
            exit: Some(ExitStatus::Code(0)),
            counts,
            coverage: BTreeMap::from([("files".to_owned(), Coverage::Complete)]),
        }));
        self.journal.seal(&self.keys, &self.log).unwrap();
    }
}

/// A sealed record of a new session of `dev`, in which `files` files were opened; and the session.
pub(crate) async fn sealed(installation: &Installation, files: u64) -> SessionRow {
    let row = installation.session(None).await;
    let recording = Recording::begin(installation, &row);
    for n in 0..files {
        recording.opens(&format!("src/file_{n}.rs"));
    }
    recording.end();
    installation.index(row.id).await;
    installation.orchestrator.row(row.id).await.unwrap()
}
