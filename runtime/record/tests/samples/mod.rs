//! One event of every type, and small records made of them, for the tests and the golden vectors.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use custody_model::{
    Actor, Digest, EventId, GitOid, ImageId, Limits, ProcessRef, SessionId, Timestamp, UserName,
    WorkspacePath,
};
use custody_record::event::*;
use custody_record::seal;
use custody_record::tlog::leaf_hash;
use custody_record::{InstallationLog, Journal, JournalHeader, JournalOptions, Keys, Sealed, Sink};

pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_461_120_000_000);

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + seconds * 1_000_000)
}

/// The vault of an installation below `root`.
pub(crate) fn vault(root: &std::path::Path) -> std::sync::Arc<custody_record::Vault> {
    std::sync::Arc::new(custody_record::Vault::open(&root.join("vault")).unwrap())
}

pub(crate) fn keys() -> Keys {
    Keys::from_seed("custody/0123456789abcdef", [7; 32])
}

pub(crate) fn session() -> SessionId {
    SessionId::new(START, [0x11; 10])
}

pub(crate) fn header() -> JournalHeader {
    JournalHeader {
        session: session(),
        policy: Digest::of(b"policy"),
        on_behalf_of: Some(user("ada@example.com")),
    }
}

pub(crate) fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

pub(crate) fn path(text: &str) -> WorkspacePath {
    text.parse().unwrap()
}

pub(crate) fn oid(digit: &str) -> GitOid {
    digit.repeat(40).parse().unwrap()
}

pub(crate) fn process() -> Actor {
    Actor::Process(ProcessRef { image: Some(ImageId(3)), pid: 4242 })
}

pub(crate) fn opened(name: &str) -> Body {
    Body::FileOpened(FileOpened {
        path: path(name),
        kind: FileKind::File,
        access: Access::Read,
        content: FileRead { git_blob: Some(oid("b")), digest: None, size: Some(1234) },
        uncertain: None,
    })
}

pub(crate) fn written(name: &str, content: &[u8]) -> Body {
    let size = Some(content.len() as u64);
    Body::FileWritten(FileWritten {
        path: path(name),
        kind: FileKind::File,
        before: Some(FileRead { git_blob: Some(oid("b")), digest: None, size: Some(0) }),
        after: FileRead { git_blob: Some(oid("c")), digest: Some(Digest::of(content)), size },
        open: false,
        uncertain: None,
    })
}

pub(crate) fn authorized() -> Body {
    Body::SessionAuthorized(SessionAuthorized {
        requester: user("ada@example.com"),
        approvers: vec![user("grace@example.com")],
        request: RequestedSession {
            repository: "shop".to_owned(),
            base_commit: oid("1"),
            base_tree: oid("2"),
            dirty: false,
            command: vec![
                "sh".to_owned(),
                "-c".to_owned(),
                "echo \"é\u{2028}\\\u{1}\" > a".to_owned(),
            ],
            command_whole: None,
            image: "host".to_owned(),
            limits: Limits { memory_bytes: Some(1 << 30), ..Limits::default() },
            environment: vec!["PATH".to_owned()],
            environment_whole: None,
            strict: false,
        },
        policy_name: "local".to_owned(),
        rule: "requesters: [ada@example.com]".to_owned(),
    })
}

pub(crate) fn executed() -> ProcessExecuted {
    ProcessExecuted {
        image: ImageId(3),
        pid: 4242,
        parent: Some(1),
        parent_image: Some(ImageId(0)),
        exe: "/usr/bin/rg".to_owned(),
        argv: vec!["rg".to_owned(), "TODO".to_owned()],
        argv_cut: false,
        argv_whole: None,
        cwd: Some("/workspace".to_owned()),
        failed: None,
        file: None,
        corrects: None,
        tried: None,
    }
}

pub(crate) fn commit() -> Body {
    Body::CommitCreated(CommitCreated {
        commit: oid("d"),
        tree: oid("e"),
        parents: vec![oid("1")],
        branch: format!("custody/{}", session()),
        author: CommitAuthor::Custody,
        files: vec![ChangedFile {
            path: path("src/lib.rs"),
            status: ChangeStatus::Modified,
            blob: Some(oid("c")),
            digest: Some(Digest::of(b"new")),
        }],
        file_count: 1,
        refs: None,
        submodule: None,
        submodules: None,
    })
}

pub(crate) fn closed(mut counts: BTreeMap<String, u64>) -> Body {
    *counts.entry("session.closed".to_owned()).or_insert(0) += 1;
    Body::SessionClosed(SessionClosed {
        outcome: Outcome::Completed,
        code: None,
        limit: None,
        reason: "the command ended".to_owned(),
        exit: Some(ExitStatus::Code(0)),
        counts,
        coverage: BTreeMap::from([
            ("files".to_owned(), Coverage::Complete),
            ("models".to_owned(), Coverage::Absent),
        ]),
    })
}

pub(crate) fn gap() -> Body {
    Body::RecorderGap(Gap {
        source: GapSource::Keeper,
        code: None,
        reason: "the keeper was killed: what it had not written is lost".to_owned(),
        from: Some(at(20)),
        until: Some(at(21)),
        process: None,
    })
}

/// One of each type, the closing last; the actors take turns.
pub(crate) fn bodies() -> Vec<Body> {
    let process_ref = ProcessRef { image: None, pid: 7 };
    let mut bodies = vec![
        authorized(),
        Body::SessionProvisioned(SessionProvisioned {
            driver: "namespace".to_owned(),
            mediation: "observed".to_owned(),
            mediation_reason: None,
            guards: 2,
            kernel: "6.18.0".to_owned(),
            init: Digest::of(b"init"),
            protections: BTreeMap::from([
                ("seccomp".to_owned(), "on".to_owned()),
                ("landlock".to_owned(), "abi 7".to_owned()),
            ]),
            submodules: None,
            submodule_count: None,
            history_cuts: None,
        }),
        Body::SessionStarted(SessionStarted {
            command: vec!["sh".to_owned()],
            command_whole: None,
            cwd: "/workspace".to_owned(),
            terminal: true,
        }),
        Body::SessionPaused(SessionPaused { code: None, reason: "backlog".to_owned() }),
        Body::SessionResumed(SessionResumed { paused_micros: 1500 }),
        Body::PolicyDecided(PolicyDecided {
            action: "session.request".to_owned(),
            decision: Decision::NeedsApproval,
            rule: "approval: {by: [leads]}".to_owned(),
            reason: "an approval of leads is needed".to_owned(),
        }),
        Body::PolicyViolated(PolicyViolated {
            path: path("secrets/new"),
            rule: "secrets/**".to_owned(),
            what: "a file came into being".to_owned(),
        }),
        Body::ProcessExecuted(executed()),
        Body::ProcessExited(ProcessExited {
            pid: 4242,
            image: Some(ImageId(3)),
            status: Some(ExitStatus::Signal(9)),
        }),
        opened("src/lib.rs"),
        Body::FileReopened(FileReopened {
            path: path("src/lib.rs"),
            access: Access::Execute,
            count: 12,
        }),
        written("src/lib.rs", b"new"),
        Body::FileRenamed(FileRenamed {
            from: path("a"),
            to: WorkspacePath::from_bytes(b"b/\xff\xc3\xa9%").unwrap(),
            kind: FileKind::File,
            replaced: None,
            uncertain: None,
            exchanged: false,
        }),
        Body::FileRemoved(FileRemoved {
            path: path("old"),
            kind: FileKind::Directory,
            before: None,
            uncertain: None,
        }),
        Body::FileLinked(FileLinked {
            path: path("link"),
            target: Some(path("src/lib.rs")),
            uncertain: None,
        }),
        Body::FileSymlinked(FileSymlinked {
            path: path("sym"),
            target: "../\u{10000}\u{fb01}".to_owned(),
            uncertain: None,
        }),
        Body::AttributesChanged(AttributesChanged {
            path: path("x"),
            mode: Some("0755".to_owned()),
            xattr: None,
            uncertain: None,
        }),
        Body::FileDenied(FileDenied {
            path: path("secrets/key"),
            operation: Operation::Open,
            target: None,
            object: None,
            rule: "secrets/**".to_owned(),
            errno: "EACCES".to_owned(),
            count: 1,
        }),
        Body::EgressDenied(EgressDenied {
            host: Some("example.com".to_owned()),
            address: None,
            port: Some(443),
            transport: Transport::Tcp,
            via: EgressVia::Proxy,
            request: Some("GET /".to_owned()),
            reason: "no network in this session".to_owned(),
        }),
        Body::TerminalRecorded(TerminalRecorded { output_bytes: 10, input_bytes: 2, cut_bytes: 0 }),
        Body::WorkspaceCompared(WorkspaceCompared {
            entries: 3,
            differences: vec![Difference {
                path: path("x"),
                kind: DifferenceKind::Differs,
                found: Some(Digest::of(b"x")),
            }],
            difference_count: 1,
        }),
        commit(),
        Body::RedactionApplied(RedactionApplied {
            count: 2,
            event: Some(EventId::new(at(9), [9; 10])),
            redactions: vec![
                Redaction {
                    blob: None,
                    digest: Digest::of(b"a secret"),
                    kind: "aws-access-token".to_owned(),
                    length: None,
                    offset: None,
                    pointer: Some("/data/argv/2".to_owned()),
                },
                Redaction {
                    blob: Some(Digest::of(b"x")),
                    digest: Digest::of(b"another"),
                    kind: "injected-value".to_owned(),
                    length: Some(35),
                    offset: Some(120),
                    pointer: None,
                },
            ],
        }),
        Body::RecorderGap(Gap {
            source: GapSource::Files,
            code: None,
            reason: "the queue overflowed".to_owned(),
            from: Some(at(1)),
            until: None,
            process: Some(process_ref),
        }),
    ];
    bodies.push(Body::RecorderDegraded(RecorderDegraded {
        step: "fsync".to_owned(),
        error: "No space left on device (os error 28)".to_owned(),
        durable: 21,
    }));
    bodies.push(Body::RecorderRestored(RecorderRestored { since: at(24), waited: 3, attempts: 2 }));
    bodies.push(Body::FileOutside(FileOutside {
        place: OutsidePlace::Scratch,
        path: "/tmp/new".to_owned(),
        operation: Operation::Rename,
        kind: FileKind::File,
        content: Some(FileRead { digest: Some(Digest::of(b"new")), ..FileRead::default() }),
        target: Some("/home/agent/new".to_owned()),
        exchanged: true,
        history: Some(HistoryRead {
            commit: Some("9".repeat(40).parse().unwrap()),
            inferred: true,
            object: Some("8".repeat(40).parse().unwrap()),
            path: Some("src/main.c".parse().unwrap()),
        }),
        open: false,
        uncertain: Some(Uncertain::Path),
        unhashed: Some(Unhashed::EndLimit),
    }));
    let mut counts = BTreeMap::new();
    for body in &bodies {
        *counts.entry(body.type_name().to_owned()).or_insert(0) += 1;
    }
    bodies.push(closed(counts));
    bodies
}

/// The golden record: canonical bytes of one event of each type, chained.
pub(crate) fn golden() -> Vec<Vec<u8>> {
    let actors = [
        Actor::Server,
        Actor::User { name: user("ada@example.com") },
        process(),
        Actor::Process(ProcessRef { image: None, pid: 7 }),
        Actor::Keeper,
    ];
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut ids = Vec::new();
    for (seq, (body, actor)) in (0_u8..).zip(bodies().into_iter().zip(actors.into_iter().cycle())) {
        let blobs = match body.event_type() {
            EventType::TerminalRecorded => vec![BlobRef {
                role: "terminal".to_owned(),
                digest: Digest::of(b"terminal"),
                size: 8,
                media_type: "application/x-asciicast".to_owned(),
                stored: None,
            }],
            _ => Vec::new(),
        };
        let id = EventId::new(at(i64::from(seq)), [seq; 10]);
        let event = Event {
            v: ENVELOPE_VERSION,
            id,
            session: session(),
            seq: u64::from(seq),
            prev: entries.last().map(|entry| leaf_hash(entry)),
            time: at(i64::from(seq)),
            actor,
            on_behalf_of: header().on_behalf_of,
            policy: header().policy,
            cause: ids.last().copied(),
            body,
            blobs,
        };
        ids.push(id);
        entries.push(event.to_canonical().unwrap());
    }
    entries
}

/// Directories of one test.
pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
    pub(crate) record: PathBuf,
    pub(crate) log: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (record, log) = (root.path().join("record"), root.path().join("log"));
        Self { root, record, log }
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::create(&self.record, header(), JournalOptions::default()).unwrap()
    }

    pub(crate) fn installation_log(&self) -> InstallationLog {
        InstallationLog::open(&self.log, &keys()).unwrap()
    }

    /// A sealed record of `middle` reads between the authorisation and the closing, with two blobs.
    pub(crate) fn sealed(&self, middle: u64) -> Sealed {
        let journal = self.journal();
        observe(&journal, authorized());
        for i in 0..middle {
            observe(&journal, opened(&format!("src/{i}.rs")));
        }
        let mut terminal = Draft::new(
            at(10),
            Actor::Keeper,
            Body::TerminalRecorded(TerminalRecorded {
                output_bytes: 10,
                input_bytes: 2,
                cut_bytes: 0,
            }),
        );
        for content in [b"first content, first content".as_slice(), b"second"] {
            terminal
                .blobs
                .push(journal.blobs().put_bytes("terminal", "text/plain", content).unwrap());
        }
        journal.observe(terminal).unwrap();
        observe(&journal, commit());
        observe(&journal, closed(journal.counts()));
        journal.seal(&keys(), &self.installation_log()).unwrap()
    }
}

pub(crate) fn observe(sink: &dyn Sink, body: Body) -> EventId {
    sink.observe(Draft::new(at(10), process(), body)).unwrap()
}

/// Every file below a directory, relative to it, sorted.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut stack = vec![dir.to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { stack.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found.iter().map(|p| p.strip_prefix(dir).unwrap().to_owned()).collect()
}

/// Every file below a directory with its bytes.
pub(crate) fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(dir)
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(dir.join(name)).unwrap()))
        .collect()
}

/// The last bundle of a sealed record.
pub(crate) fn bundle(record: &Path) -> PathBuf {
    let found = files(record).into_iter().rfind(|name| name.starts_with("tile/entries")).unwrap();
    record.join(found)
}

/// Every generated file that is committed: golden vectors and JSON Schemas.
pub(crate) fn generated() -> Vec<(PathBuf, Vec<u8>)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixtures = package.join("../../tests/fixtures/record");
    let entries = golden();
    let mut lines = Vec::new();
    let mut leaves = String::new();
    let mut frontier = custody_record::tlog::Frontier::default();
    for entry in &entries {
        lines.extend_from_slice(entry);
        lines.push(b'\n');
        frontier.push(leaf_hash(entry));
        leaves.push_str(&format!("{}\n", leaf_hash(entry)));
    }
    let checkpoint = custody_record::tlog::Checkpoint {
        origin: keys().verifier().session_origin(session()),
        size: frontier.size(),
        root: frontier.root(),
    };
    let schema = |schema: schemars::Schema| {
        let mut text = serde_json::to_vec_pretty(&schema).unwrap();
        text.push(b'\n');
        text
    };
    let named = |id: &str, mut of: schemars::Schema| {
        of.insert("$id".to_owned(), id.into());
        schema(of)
    };
    vec![
        (fixtures.join("events.jsonl"), lines),
        (fixtures.join("leaves.txt"), leaves.into_bytes()),
        (fixtures.join("root.txt"), format!("{}\n", frontier.root()).into_bytes()),
        (fixtures.join("checkpoint"), first_form(&checkpoint.sign(&keys()))),
        (fixtures.join("installation.vkey"), format!("{}\n", keys().vkey()).into_bytes()),
        (package.join("schema/event.schema.json"), schema(schemars::schema_for!(Event))),
        (
            package.join("schema/agent-session.schema.json"),
            named(seal::PREDICATE_SCHEMA_ID, schemars::schema_for!(seal::AgentSession)),
        ),
        (
            package.join("schema/statement.schema.json"),
            named(seal::STATEMENT_SCHEMA_ID, schemars::schema_for!(seal::Statement)),
        ),
    ]
}

/// A note as the first records have it: with the line under its own name alone. Such notes stay good.
pub(crate) fn first_form(note: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(note).unwrap();
    let (first, _) = text.trim_end().rsplit_once('\n').unwrap();
    format!("{first}\n").into_bytes()
}

/// A sequence of moments that is the same in each run (xorshift64*).
pub(crate) struct Moments(u64);

impl Moments {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }
}
