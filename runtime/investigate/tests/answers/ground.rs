//! An installation in a directory: a repository with its mirror, journals that are sealed, a control log, a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use custody_control::{Author, ControlPlane};
use custody_investigate::Summary;
use custody_investigate::attribute::{Attributed, Sources, attribute};
use custody_investigate::blocking::InPlace;
use custody_investigate::history::Repository;
use custody_investigate::neighbour::{Nearby, Reach};
use custody_investigate::report::{Answer, Looked, RecordVerdicts, Records, answer};
use custody_model::{
    Actor, Clock, Digest, GitOid, Limits, SessionId, StartSession, Timestamp, UserName,
};
use custody_record::control::{ControlBody, ControlLog, SessionRequested};
use custody_record::event::*;
use custody_record::{
    InstallationLog, Journal, JournalHeader, JournalOptions, Keys, Reader, Sink as _,
};
use custody_store::{StoreError, Visibility};
use custody_store_sqlite::SqliteStore;
use tempfile::TempDir;

/// 2026-11-24, the day on which sessions begin.
const DAY: i64 = 1_795_478_400;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((DAY + seconds) * 1_000_000)
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        at(0)
    }
}

/// What a session does, each a second after the one before.
pub(crate) enum Act<'a> {
    Read(&'a str),
    Write(&'a str),
    Denied(&'a str),
    /// Makes this revision of the repository.
    Commit(&'a str),
}

pub(crate) struct Ground {
    dir: TempDir,
    plane: ControlPlane,
    keys: Keys,
    made: Mutex<u8>,
    looked_up: Mutex<Vec<SessionId>>,
    pub(crate) hidden: Option<SessionId>,
}

impl Ground {
    /// With a repository that has one commit of a person.
    pub(crate) async fn new() -> Self {
        let dir = TempDir::with_prefix("custody-answers-").unwrap();
        let keys = Keys::from_seed("custody/0123456789abcdef", [7; 32]);
        let store = SqliteStore::open(&dir.path().join("store.sqlite")).await.unwrap();
        let vault = Arc::new(custody_record::Vault::open(&dir.path().join("vault")).unwrap());
        let log = ControlLog::open(&dir.path().join("control"), &keys, vault).unwrap();
        let plane = ControlPlane::new(log, Arc::new(store), Arc::new(Stopped));
        let looked_up = Mutex::default();
        let ground = Self { dir, plane, keys, made: Mutex::new(0), looked_up, hidden: None };
        std::fs::create_dir_all(ground.repository()).unwrap();
        ground.git(&["init", "--quiet", "--initial-branch=main"]);
        ground.commit(&[("a.txt", "one\ntwo\nthree\n"), ("b.txt", "b\n")], "Start");
        ground
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    pub(crate) fn record(&self, session: SessionId) -> PathBuf {
        self.dir.path().join("sessions").join(session.to_string())
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.repository())
            .args(["-c", "user.name=Dana", "-c", "user.email=dana@example.org"])
            .args(["-c", "commit.gpgsign=false"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Writes files and commits them; the commit.
    pub(crate) fn commit(&self, files: &[(&str, &str)], message: &str) -> String {
        for (name, text) in files {
            std::fs::write(self.repository().join(name), text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Mirrors everything that the repository has now.
    pub(crate) fn mirror(&self) {
        let mirror = self.dir.path().join("shop.git");
        self.git(&["clone", "--quiet", "--mirror", ".", mirror.to_str().unwrap()]);
    }

    /// A session that began at `second`, on record and in the store.
    pub(crate) async fn session(&self, who: &str, second: i64, acts: &[Act<'_>]) -> SessionId {
        let number = {
            let mut made = self.made.lock().unwrap();
            *made += 1;
            *made
        };
        let session = SessionId::new(at(second), [number; 10]);
        let requester: UserName = who.parse().unwrap();
        let base: GitOid = "1".repeat(40).parse().unwrap();
        let request = StartSession {
            requester: requester.clone(),
            repository: "shop".to_owned(),
            base_commit: base.clone(),
            base_tree: base.clone(),
            dirty: false,
            command: vec!["agent".to_owned()],
            image: "host".to_owned(),
            environment: Vec::new(),
            limits: Limits::default(),
            strict: false,
        };
        let requested = SessionRequested {
            session,
            project: "default".parse().unwrap(),
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
        };
        let body = ControlBody::SessionRequested(Box::new(requested));
        self.plane.record(&Author::server(), vec![body]).await.unwrap();
        self.write(session, requester, base, second, acts);
        let indexed = self.plane.index(session, self.record(session)).await.unwrap();
        assert_eq!(indexed, Some(acts.len() as u64 + 3));
        session
    }

    fn write(
        &self,
        session: SessionId,
        requester: UserName,
        base: GitOid,
        second: i64,
        acts: &[Act<'_>],
    ) {
        let header = JournalHeader {
            session,
            policy: Digest::of(b"policy"),
            on_behalf_of: Some(requester.clone()),
        };
        let journal =
            Journal::create(&self.record(session), header, JournalOptions::default()).unwrap();
        let mut times = (second..).map(at);
        let mut observe = |body| {
            let draft = Draft::new(times.next().unwrap(), Actor::Keeper, body);
            journal.observe(draft).unwrap();
        };
        observe(Body::SessionAuthorized(SessionAuthorized {
            requester,
            approvers: Vec::new(),
            request: RequestedSession {
                repository: "shop".to_owned(),
                base_commit: base.clone(),
                base_tree: base,
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
        }));
        observe(Body::SessionStarted(SessionStarted {
            command: vec!["agent".to_owned()],
            command_whole: None,
            cwd: "/workspace".to_owned(),
            terminal: false,
        }));
        for act in acts {
            observe(self.body(act, session));
        }
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
        }));
        let log = InstallationLog::open(&self.dir.path().join("installation"), &self.keys).unwrap();
        journal.seal(&self.keys, &log).unwrap();
    }

    fn body(&self, act: &Act<'_>, session: SessionId) -> Body {
        match act {
            Act::Read(path) => Body::FileOpened(FileOpened {
                path: path.parse().unwrap(),
                kind: FileKind::File,
                access: Access::Read,
                content: FileRead::default(),
                uncertain: None,
            }),
            Act::Write(path) => Body::FileWritten(FileWritten {
                path: path.parse().unwrap(),
                kind: FileKind::File,
                before: None,
                after: FileRead::default(),
                open: false,
                uncertain: None,
            }),
            Act::Denied(path) => Body::FileDenied(FileDenied {
                path: path.parse().unwrap(),
                operation: Operation::Open,
                target: None,
                object: None,
                rule: format!("{path}: deny"),
                errno: "EACCES".to_owned(),
                count: 1,
            }),
            Act::Commit(rev) => {
                let git = Repository::at(self.repository());
                let facts = git.commit(rev).unwrap();
                let changed = git.changed_blobs(&facts.commit).unwrap();
                let files: Vec<ChangedFile> = changed
                    .into_iter()
                    .map(|(path, blob)| ChangedFile {
                        path,
                        status: ChangeStatus::Modified,
                        blob: Some(blob),
                        digest: None,
                    })
                    .collect();
                Body::CommitCreated(CommitCreated {
                    commit: facts.commit,
                    tree: facts.tree,
                    parents: facts.parents,
                    branch: format!("custody/{session}"),
                    author: CommitAuthor::Agent,
                    file_count: files.len() as u64,
                    refs: None,
                    submodule: None,
                    submodules: None,
                    files,
                })
            }
        }
    }

    pub(crate) async fn attribute(&self, question: &str) -> Attributed {
        let mirror = |name: &str| self.dir.path().join(format!("{name}.git"));
        let sources = Sources {
            repository: &Repository::at(self.repository()),
            store: self.plane.store(),
            mirrors: &mirror,
            blocking: &InPlace,
        };
        attribute(&question.parse().unwrap(), sources).await.unwrap()
    }

    /// The whole answer for somebody who may see everything but the hidden session.
    pub(crate) async fn ask(&self, question: &str, reach: Reach) -> Answer {
        self.ask_as(question, reach, &Visibility::everything()).await
    }

    pub(crate) async fn ask_as(
        &self,
        question: &str,
        reach: Reach,
        visible: &Visibility,
    ) -> Answer {
        let attributed = self.attribute(question).await;
        let nearby = Nearby { store: self.plane.store(), visible, reach };
        answer(&question.parse().unwrap(), attributed, self, nearby).await.unwrap()
    }

    /// The sessions whose records were looked up so far.
    pub(crate) fn looked_up(&self) -> Vec<SessionId> {
        self.looked_up.lock().unwrap().clone()
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Records for Ground {
    type Error = StoreError;

    async fn look_up(&self, session: SessionId) -> Result<Looked, StoreError> {
        self.looked_up.lock().unwrap().push(session);
        if self.hidden == Some(session) {
            return Ok(Looked::Hidden);
        }
        let verdicts = RecordVerdicts {
            integrity: "intact".to_owned(),
            completeness: "complete".to_owned(),
            witnesses: Default::default(),
            erased: None,
        };
        if !self.record(session).exists() {
            return Ok(Looked::Absent);
        }
        let summary = Reader::open(&self.record(session)).and_then(|reader| Summary::of(&reader));
        Ok(match summary {
            Ok(summary) => Looked::Found(Box::new(summary.unwrap()), verdicts),
            Err(error) => Looked::Unreadable { reason: error.to_string(), record: verdicts },
        })
    }
}
