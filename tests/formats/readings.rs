//! One reading of events: what the list of sessions, the summary of one and the exports count is the same, for any sequence of
//! events, and is what was done.

use std::collections::BTreeSet;

use custody_control::RecordIndexer;
use custody_export::{Content, ContentError, Format, Patch, export};
use custody_investigate::Summarizer;

use custody_model::state::session::SessionState;
use custody_model::{
    Actor, Digest, EventId, GitOid, ImageId, Limits, ProcessRef, SessionId, StartSession,
    Timestamp, WorkspacePath,
};
use custody_record::event::*;
use custody_record::{Blobs, Event};
use custody_store::{Change, Counts, SessionRow};
use custody_tests::{Installation, Repository};
use serde_json::Value;

/// Sequences that are generated.
const SEQUENCES: u64 = 300;

/// Numbers from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        let at = self.below(choices.len() as u64);
        choices[usize::try_from(at).expect("small")].clone()
    }
}

fn path(numbers: &mut Numbers) -> WorkspacePath {
    let paths = ["a", "b", "lib/c", "lib/.git/x", "lib/.gitignore", ".git/index", ".git", ".gitx"];
    numbers.of(&paths).parse().expect("a path")
}

fn content(numbers: &mut Numbers) -> FileRead {
    FileRead { size: Some(numbers.below(9)), ..FileRead::default() }
}

fn executed(image: u64, argv: &str) -> ProcessExecuted {
    ProcessExecuted {
        image: ImageId(image),
        pid: 7,
        parent: None,
        parent_image: None,
        exe: format!("/bin/{argv}"),
        argv: vec![argv.to_owned()],
        argv_cut: false,
        argv_whole: None,
        cwd: None,
        failed: None,
        file: None,
        corrects: None,
        tried: None,
    }
}

fn body(numbers: &mut Numbers, ran: &mut Vec<ProcessExecuted>) -> Body {
    let kind =
        numbers.of(&[FileKind::File, FileKind::File, FileKind::Directory, FileKind::Symlink]);
    let access = numbers.of(&[Access::Read, Access::Read, Access::Execute, Access::Write]);
    match numbers.below(12) {
        0 => Body::FileOpened(FileOpened {
            path: path(numbers),
            kind,
            access,
            content: content(numbers),
            uncertain: None,
        }),
        1 => Body::FileReopened(FileReopened { path: path(numbers), access, count: 2 }),
        2 => Body::FileWritten(FileWritten {
            path: path(numbers),
            kind,
            before: None,
            after: content(numbers),
            open: false,
            uncertain: None,
        }),
        3 => Body::FileRenamed(FileRenamed {
            from: path(numbers),
            to: path(numbers),
            kind,
            replaced: None,
            exchanged: false,
            uncertain: None,
        }),
        4 => Body::FileRemoved(FileRemoved {
            path: path(numbers),
            kind,
            before: None,
            uncertain: None,
        }),
        5 => Body::FileLinked(FileLinked { path: path(numbers), target: None, uncertain: None }),
        6 => Body::FileSymlinked(FileSymlinked {
            path: path(numbers),
            target: "a".to_owned(),
            uncertain: None,
        }),
        7 => Body::FileDenied(FileDenied {
            path: path(numbers),
            operation: numbers.of(&[Operation::Open, Operation::Unlink]),
            target: None,
            object: None,
            rule: "secrets/**".to_owned(),
            errno: "EACCES".to_owned(),
            count: 1 + numbers.below(3),
        }),
        8 => {
            let next = executed(ran.len() as u64 + 1, numbers.of(&["cat", "sh"]));
            ran.push(next.clone());
            Body::ProcessExecuted(next)
        }
        9 => match ran.pop() {
            // Something else ran than was told; each is corrected once.
            Some(told) => Body::ProcessExecuted(ProcessExecuted {
                image: ImageId(1000 + told.image.0),
                exe: "/bin/other".to_owned(),
                corrects: Some(told.image),
                ..told
            }),
            None => Body::ProcessExecuted(ProcessExecuted {
                failed: Some("ENOENT".to_owned()),
                ..executed(0, "nothing")
            }),
        },
        10 => Body::EgressDenied(EgressDenied {
            host: Some("example.org".to_owned()),
            address: None,
            port: Some(80),
            transport: Transport::Tcp,
            via: numbers.of(&[EgressVia::Proxy, EgressVia::Connect]),
            request: None,
            reason: "no rule".to_owned(),
        }),
        _ => Body::AttributesChanged(AttributesChanged {
            path: path(numbers),
            mode: Some("0644".to_owned()),
            xattr: None,
            uncertain: None,
        }),
    }
}

/// A record of these bodies.
fn record(bodies: Vec<Body>) -> Vec<Event> {
    let session = SessionId::new(Timestamp::from_micros(1), [1; 10]);
    let mut events: Vec<Event> = Vec::new();
    for (seq, body) in (0_u64..).zip(bodies) {
        let time = Timestamp::from_micros(1_000 + i64::try_from(seq).expect("few"));
        events.push(Event {
            v: ENVELOPE_VERSION,
            id: EventId::new(time, [u8::try_from(seq % 256).expect("a byte"); 10]),
            session,
            seq,
            prev: None,
            time,
            actor: Actor::Process(ProcessRef { image: None, pid: 7 }),
            on_behalf_of: None,
            policy: Digest::of(b"policy"),
            cause: None,
            body,
            blobs: Vec::new(),
        });
    }
    events
}

/// What was done, by the words of each event: told apart from the code that is tried.
#[derive(Debug, Default, PartialEq)]
struct Truth {
    read: BTreeSet<String>,
    written: BTreeSet<String>,
    removed: BTreeSet<String>,
    executed: u64,
    denied: u64,
    egress_denied: u64,
    gaps: u64,
}

impl Truth {
    fn of(events: &[Event]) -> Self {
        let mut truth = Self::default();
        for event in events {
            let whole = serde_json::to_value(&event.body).expect("JSON");
            let (kind, data) = (whole["type"].as_str().expect("a type"), &whole["data"]);
            let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
            let directory = data["kind"] == "directory";
            match kind {
                "file.opened" if data["kind"] == "file" && data["access"] != "write" => {
                    truth.read.insert(text("path"));
                }
                "file.written" if !directory => drop(truth.written.insert(text("path"))),
                "file.linked" | "file.symlinked" => drop(truth.written.insert(text("path"))),
                "file.removed" if !directory => drop(truth.removed.insert(text("path"))),
                "file.renamed" => {
                    truth.removed.insert(text("from"));
                    truth.written.insert(text("to"));
                }
                "file.denied" => truth.denied += data["count"].as_u64().expect("a number"),
                "process.executed" if data["failed"].is_null() && data["corrects"].is_null() => {
                    truth.executed += 1;
                }
                "egress.denied" => truth.egress_denied += 1,
                "recorder.gap" => truth.gaps += 1,
                _ => {}
            }
        }
        let gits = |path: &String| path == ".git" || path.starts_with(".git/");
        for set in [&mut truth.read, &mut truth.written, &mut truth.removed] {
            set.retain(|path| !gits(path));
        }
        truth
    }

    fn counts(&self) -> Counts {
        Counts {
            read: self.read.len() as u64,
            written: self.written.len() as u64,
            removed: self.removed.len() as u64,
            executed: self.executed,
            denied: self.denied,
            egress_denied: self.egress_denied,
            gaps: self.gaps,
        }
    }
}

/// A session of which the index knows nothing but that it was asked for.
fn row(session: SessionId) -> SessionRow {
    let (at, base) = (Timestamp::from_micros(1), "1".repeat(40).parse::<GitOid>().expect("an id"));
    SessionRow {
        id: session,
        project: "default".parse().expect("a project"),
        request: StartSession {
            requester: "ada".parse().expect("a name"),
            repository: "shop".to_owned(),
            base_commit: base.clone(),
            base_tree: base,
            dirty: false,
            command: vec!["agent".to_owned()],
            image: "host".to_owned(),
            environment: Vec::new(),
            limits: Limits::default(),
            strict: false,
        },
        requested_at: at,
        policy: Digest::of(b"policy"),
        policy_name: "local".to_owned(),
        rule: "requesters".to_owned(),
        approvals_wanted: 0,
        approvers: Vec::new(),
        approvals: Vec::new(),
        idempotency: None,
        state: SessionState::requested(at),
        updated_at: at,
        stop: None,
        outcome: None,
        reason: None,
        exit: None,
        events: 0,
        root: None,
        counts: Counts::default(),
        commit: None,
        hold: None,
        erased_at: None,
    }
}

/// What the index counts.
fn indexed(events: &[Event]) -> Counts {
    let place = tempfile::tempdir().expect("a directory");
    let session = events[0].session;
    let mut indexer = RecordIndexer::new(session, "shop".to_owned(), Blobs::open(place.path()));
    for event in events {
        indexer.add(&event.to_canonical().expect("canonical")).expect("taken");
    }
    let unit = indexer.unit(row(session)).expect("something new");
    let row = unit.changes.into_iter().find_map(|change| match change {
        Change::Session(row) => Some(row),
        _ => None,
    });
    row.expect("the session").counts
}

/// What the summary counts.
fn summed(events: &[Event]) -> Counts {
    let mut summarizer = Summarizer::new(events[0].session, events[0].policy);
    events.iter().for_each(|event| summarizer.add(event));
    let summary = summarizer.finish();
    Counts {
        read: summary.read.len() as u64,
        written: summary.written.len() as u64,
        removed: summary.removed.len() as u64,
        executed: summary.executed.iter().map(|executed| executed.count).sum(),
        denied: summary.denied.iter().map(|denied| denied.count).sum(),
        egress_denied: summary.egress.iter().map(|egress| egress.count).sum(),
        gaps: summary.gaps.len() as u64,
    }
}

struct Nothing;

impl Content for Nothing {
    fn blob(&self, _: &Digest) -> Result<Option<Vec<u8>>, ContentError> {
        Ok(None)
    }

    fn patch(&self, _: &CommitCreated) -> Result<Patch, ContentError> {
        Ok(Patch::Absent)
    }
}

fn exported(events: &[Event], format: Format) -> Vec<Value> {
    let mut to = export(format, "1.0.0");
    let mut out = Vec::new();
    for event in events {
        let canonical = event.to_canonical().expect("canonical");
        to.event(event, &canonical, &Nothing, &mut out).expect("taken");
    }
    to.finish(&mut out).expect("finished");
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
}

/// Files that the OCSF events say were read (activity 2 of class 1001).
fn read_in_ocsf(events: &[Event]) -> BTreeSet<String> {
    let gits = |path: &str| path == ".git" || path.starts_with(".git/");
    exported(events, Format::Ocsf)
        .into_iter()
        .filter(|line| line["class_uid"] == 1001 && line["activity_id"] == 2)
        .filter(|line| line["unmapped"]["type"] == "file.opened")
        .filter(|line| line["unmapped"]["data"]["kind"] == "file")
        .map(|line| line["unmapped"]["data"]["path"].as_str().expect("a path").to_owned())
        .filter(|path| !gits(path))
        .collect()
}

/// Programs that the OpenTelemetry spans say ran.
fn ran_in_otlp(events: &[Event]) -> u64 {
    let spans = |line: &Value| {
        let spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned();
        let root =
            |span: &Value| span["name"].as_str().is_some_and(|n| n.starts_with("invoke_agent"));
        spans.unwrap_or_default().iter().filter(|span| !root(span)).count() as u64
    };
    exported(events, Format::Otlp).iter().map(spans).sum()
}

#[test]
fn list_summary_and_exports_count_what_any_sequence_of_events_tells() {
    for seed in 1..=SEQUENCES {
        let mut numbers = Numbers(seed * 0x9E37_79B9);
        let (length, mut ran) = (1 + numbers.below(40), Vec::new());
        let bodies = (0..length).map(|_| body(&mut numbers, &mut ran)).collect();
        let events = record(bodies);
        let truth = Truth::of(&events);
        assert_eq!(indexed(&events), truth.counts(), "the index, seed {seed}");
        assert_eq!(summed(&events), truth.counts(), "the summary, seed {seed}");
        assert_eq!(read_in_ocsf(&events), truth.read, "OCSF, seed {seed}");
        assert_eq!(ran_in_otlp(&events), truth.executed, "OpenTelemetry, seed {seed}");
    }
}

#[test]
fn list_and_show_agree_with_each_other_and_with_what_was_done() {
    let repository = Repository::with_secrets();
    repository.file("sub/a", "content\n").commit("A file below");
    let installation = Installation::new();
    let policy = installation.policy(include_str!("../support/policy.yaml"));
    let script = ": >>README.md; mkdir -p lib/.git; echo 1 >lib/.git/x; cat sub/a";
    let output = installation.run(&repository, &["--quiet", "--policy", &policy], script);
    assert_eq!(output.code, Some(0), "{}", output.text());
    let custody =
        |words: &[&str]| installation.custody(repository.path(), words).succeeded().json();
    let list = custody(&["--output", "json", "session", "list"]);
    let show = custody(&["--output", "json", "session", "show", "last"]);
    let counts = &find(&list, "counts").expect("counts");
    let summary = &find(&show, "read").map(|_| show.clone()).expect("a summary");
    let paths = |name: &str| -> Vec<String> {
        let files = find(summary, name).expect("a list");
        let files = files.as_array().expect("a list").iter();
        files.map(|file| file["path"].as_str().expect("a path").to_owned()).collect()
    };
    assert_eq!(paths("read"), ["sub/a"]);
    assert_eq!(paths("written"), ["lib/.git/x"]);
    assert_eq!((&counts["read"], &counts["written"]), (&1.into(), &1.into()), "{counts}");
    assert_eq!(counts["removed"], 0);
    let executed: u64 = find(summary, "executed")
        .expect("a list")
        .as_array()
        .expect("a list")
        .iter()
        .map(|executed| executed["count"].as_u64().expect("a number"))
        .sum();
    assert_eq!(counts["executed"], executed);
}

/// The first member of this name, at any depth.
fn find(value: &Value, name: &str) -> Option<Value> {
    match value {
        Value::Object(members) => members
            .get(name)
            .filter(|value| value.is_array() || value.is_object())
            .cloned()
            .or_else(|| members.values().find_map(|value| find(value, name))),
        Value::Array(values) => values.iter().find_map(|value| find(value, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
