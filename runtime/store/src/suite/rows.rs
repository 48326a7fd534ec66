//! Rows for the suite: made of numbers, so that the same number gives the same row.

use std::collections::{BTreeMap, BTreeSet};

use custody_model::TokenKind;
use custody_model::state::session::{SessionState, StopReason};
use custody_model::{
    Digest, EventId, GitOid, Grants, Limits, ProjectName, Role, Scope, SessionId, StartSession,
    Timestamp, TokenId, UserName, WorkspacePath,
};
use custody_record::control::Idempotency;
use custody_record::event::{CommitAuthor, ExitStatus, Outcome};

use crate::{
    ApprovalRow, BlobRow, Change, CommitRow, Counts, FileRow, HoldRow, PolicyRow, ProjectRow,
    RepositoryRow, RetentionRow, SessionRow, Store, TokenRow, Touch, UnitOfWork, UserRow,
};

/// Numbers without a pattern, the same ones each time (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_number() % end
    }

    /// One of these.
    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        let len = u64::try_from(of.len()).expect("a short list");
        of[usize::try_from(self.below(len)).expect("below the length")].clone()
    }

    /// Brings a list into another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            let other = self.below(u64::try_from(at).expect("small") + 1);
            list.swap(at, usize::try_from(other).expect("small"));
        }
    }
}

/// 2026-11-23, some seconds later.
pub(super) fn second(n: u64) -> Timestamp {
    let seconds = 1_795_000_000 + i64::try_from(n).expect("a small number");
    Timestamp::from_micros(seconds * 1_000_000)
}

fn bytes(n: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&Random(n).next_number().to_be_bytes());
    bytes
}

/// The id of session number `n`: later numbers have later ids.
#[must_use]
pub fn session_id(n: u64) -> SessionId {
    SessionId::new(second(n), bytes(n))
}

pub(super) fn token_id(n: u64) -> TokenId {
    TokenId::new(second(n), bytes(n))
}

pub(super) fn user_name(name: &str) -> UserName {
    name.parse().expect("a user's name")
}

pub(super) fn project_name(name: &str) -> ProjectName {
    name.parse().expect("a project's name")
}

pub(super) fn digest(n: u64) -> Digest {
    Digest::of(&n.to_be_bytes())
}

/// A git object id: of SHA-1, or of SHA-256 for each third number.
pub(super) fn oid(n: u64) -> GitOid {
    let hex = digest(n).hex();
    let text = if n % 3 == 2 { &hex[..] } else { &hex[..40] };
    text.parse().expect("hex")
}

pub(super) fn path(bytes: &[u8]) -> WorkspacePath {
    WorkspacePath::from_bytes(bytes).expect("a path")
}

/// A project.
#[must_use]
pub fn project(name: &str, n: u64) -> ProjectRow {
    ProjectRow {
        name: project_name(name),
        description: format!("number {n}: it's \"quoted\", 100 %"),
        created_at: second(n),
        active_policy: (n % 2 == 1).then(|| digest(n)),
        hold: (n % 4 == 1).then(|| hold(n)),
    }
}

pub(super) fn policy(project: &str, n: u64) -> PolicyRow {
    PolicyRow {
        project: project_name(project),
        digest: digest(n),
        name: format!("policy {n}"),
        document: format!("name: \"{n}\"\nrules: []\n"),
        created_at: second(n / 2),
        created_by: (n % 2 == 1).then(|| user_name("ada")),
        retention: RetentionRow {
            content_seconds: (n % 3 == 1).then_some(n * 60),
            hold: (n % 4 == 1).then(|| format!("case {n}")),
            early_erasure: n.is_multiple_of(5),
        },
    }
}

pub(super) fn user(name: &str, n: u64) -> UserRow {
    let roles = BTreeSet::from([Role::Developer, Role::Auditor]);
    let projects = BTreeMap::from([(project_name("core"), roles)]);
    UserRow {
        name: user_name(name),
        grants: if n % 2 == 1 {
            Grants::everything()
        } else {
            Grants { installation: BTreeSet::new(), projects }
        },
        created_at: second(n),
        disabled_at: (n % 3 == 1).then(|| second(n + 1)),
    }
}

pub(super) fn token(user: &str, n: u64) -> TokenRow {
    TokenRow {
        id: token_id(n),
        user: user_name(user),
        kind: if n % 2 == 1 { TokenKind::Service } else { TokenKind::Access },
        scopes: BTreeSet::from([Scope::SessionsRead, Scope::SettingsWrite]),
        label: format!("token {n}"),
        parent: (n % 2 == 1).then(|| token_id(n + 1_000_000)),
        issued_at: second(n / 2),
        expires_at: second(n + 3_600),
        revoked_at: (n % 3 == 1).then(|| second(n + 60)),
    }
}

pub(super) fn repository(name: &str, project: &str, n: u64) -> RepositoryRow {
    RepositoryRow {
        name: name.to_owned(),
        project: project_name(project),
        source: format!("https://git.example.org/{n}.git"),
        registered_at: second(n),
    }
}

/// A session of project `core` and of ada, on repository `parser`, that was just asked for.
#[must_use]
pub fn session(n: u64) -> SessionRow {
    SessionRow {
        id: session_id(n),
        project: project_name("core"),
        request: StartSession {
            requester: user_name("ada"),
            repository: "parser".to_owned(),
            base_commit: oid(n + 1),
            base_tree: oid(n + 2),
            dirty: false,
            command: vec!["agent.sh".to_owned(), format!("fix it's \"{n}\" %41")],
            image: "host".to_owned(),
            environment: vec!["TERM".to_owned()],
            limits: Limits { wall_seconds: Some(n), ..Limits::default() },
            strict: n % 2 == 1,
        },
        requested_at: second(n),
        policy: digest(n),
        policy_name: "default".to_owned(),
        rule: "sessions[0]".to_owned(),
        approvals_wanted: 0,
        approvers: Vec::new(),
        approvals: Vec::new(),
        idempotency: None,
        state: SessionState::requested(second(n)),
        updated_at: second(n),
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

pub(super) fn hold(n: u64) -> HoldRow {
    HoldRow { by: user_name("grace"), at: second(n), reason: format!("it's case {n}") }
}

/// A session of which everything is known.
pub(super) fn whole_session(n: u64) -> SessionRow {
    SessionRow {
        approvals_wanted: 1,
        approvers: vec!["role:admin".to_owned()],
        approvals: vec![ApprovalRow {
            approver: user_name("grace"),
            at: second(n + 1),
            request: digest(n + 1),
            policy: digest(n),
            comment: "it's fine".to_owned(),
        }],
        idempotency: Some(Idempotency { key: format!("key {n} 'é'"), request: digest(n + 1) }),
        state: SessionState::Sealed { at: second(n + 9), reason: StopReason::CommandEnded },
        updated_at: second(n + 9),
        outcome: Some(Outcome::Completed),
        reason: Some("the command ended".to_owned()),
        exit: Some(ExitStatus::Code(3)),
        events: 40 + n,
        root: Some(digest(n + 5)),
        counts: Counts {
            read: 1,
            written: 2,
            removed: 3,
            executed: 4,
            denied: 5,
            egress_denied: 6,
            gaps: 7,
        },
        commit: Some(oid(n)),
        hold: n.is_multiple_of(2).then(|| hold(n)),
        erased_at: (n % 4 == 1).then(|| second(n + 60)),
        ..session(n)
    }
}

/// Session number `session` touched this, between these seconds.
pub(super) fn file(session: u64, at: &[u8], first: u64, last: u64) -> FileRow {
    FileRow {
        session: session_id(session),
        repository: "parser".to_owned(),
        path: path(at),
        touch: Touch {
            read: first.is_multiple_of(2),
            written: last.is_multiple_of(2),
            removed: first.is_multiple_of(3),
            denied: last.is_multiple_of(5),
        },
        first_at: second(first),
        last_at: second(last),
        first_seq: first,
        last_seq: last,
        read_blob: first.is_multiple_of(2).then(|| oid(first)),
        read_digest: first.is_multiple_of(3).then(|| digest(first)),
        written_blob: last.is_multiple_of(2).then(|| oid(last)),
        written_digest: last.is_multiple_of(3).then(|| digest(last)),
    }
}

pub(super) fn commit(session: u64, n: u64, seq: u64) -> CommitRow {
    CommitRow {
        session: session_id(session),
        repository: "parser".to_owned(),
        commit: oid(n),
        tree: oid(n / 2 + 7_000),
        author: if n % 2 == 1 { CommitAuthor::Agent } else { CommitAuthor::Custody },
        file_count: n,
        at: second(seq),
        seq,
        event: EventId::new(second(seq), bytes(n)),
    }
}

pub(super) fn blob(session: u64, commit: u64, at: &[u8], content: u64) -> BlobRow {
    BlobRow {
        session: session_id(session),
        commit: oid(commit),
        path: path(at),
        blob: oid(content),
    }
}

/// One row of every kind, of session number `n` and what it needs.
#[must_use]
pub fn all_of_one_session(n: u64) -> Vec<Change> {
    let project = format!("project-{n}");
    let mut session = whole_session(n);
    session.project = project_name(&project);
    vec![
        Change::Project(self::project(&project, n)),
        Change::Policy(policy(&project, n)),
        Change::User(user(&format!("user {n}"), n)),
        Change::Token(token("ada", n)),
        Change::Repository(repository(&format!("repository-{n}"), &project, n)),
        Change::Session(Box::new(session)),
        Change::File(Box::new(file(n, b"src/a.rs", n, n + 1))),
        Change::File(Box::new(file(n, b"src/b\xff%.rs", n + 1, n + 7))),
        Change::Commit(commit(n, n, 5)),
        Change::Blob(blob(n, n, b"src/a.rs", n)),
    ]
}

/// A unit of work that rests on nothing.
#[must_use]
pub fn unit(changes: Vec<Change>) -> UnitOfWork {
    UnitOfWork { control: None, record: None, changes }
}

pub(super) async fn save(store: &dyn Store, changes: Vec<Change>) {
    store.save(unit(changes)).await.expect("a unit that rests on nothing is saved");
}

pub(super) async fn save_sessions(store: &dyn Store, rows: &[SessionRow]) {
    for rows in rows.chunks(500) {
        save(store, rows.iter().cloned().map(Box::new).map(Change::Session).collect()).await;
    }
}
