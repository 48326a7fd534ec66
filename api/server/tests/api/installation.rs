//! A whole installation that listens on a port of its own: real store, control log, issuer, orchestrator, mirror. Only room
//! for sessions it has none: what is asked for waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::FromRef;
use custody_api_server::{
    Build, Identity, InvestigateError, Investigator, Lifecycle, Limits, Listeners, Metrics,
    MetricsGuard, NoExternalIssuers, Transparency, Trust, router, serve,
};
use custody_api_types::investigation::Answer;
use custody_control::tokens::NewToken;
use custody_control::{Author, ControlPlane};
use custody_identity::{LocalIssuer, LocalIssuerOptions, TokenRequest, Verifier};
use custody_keeper::layout::StateDir;
use custody_model::state::sandbox::SandboxEnd;
use custody_model::{
    Clock, Digest, Grants, ProjectName, Role, Scope, SessionId, SystemClock, Timestamp, TokenId,
    TokenKind, UserName,
};
use custody_policy::PolicyVersion;
use custody_record::Keys;
use custody_record::control::{ControlEvent, ControlLog};
use custody_sandbox::SimulatedDriver;
use custody_session::{KeeperProgram, NewSession, NoFaults, Options, Orchestrator, Parts};
use custody_store::{Room, SessionRow, Visibility};
use custody_store_sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

/// The policy of the projects: everybody may ask; what begins with `approved` needs an approval.
pub(crate) const POLICY: &str = "\
version: custody/policy/v1
name: tests
requesters:
  users: ['*']
images: [host]
commands:
  - allow: ['*']
  - deny: ['forbidden']
";

/// The same, and somebody has to approve.
pub(crate) const APPROVED: &str = "\
version: custody/policy/v1
name: approved
requesters:
  users: ['*']
approval:
  required: always
  by: ['*']
images: [host]
commands:
  - allow: ['*']
";

/// Everybody there is, and what they may do: `installation` or a project, and the role.
pub(crate) const PEOPLE: [(&str, &str, Role); 7] = [
    ("dev", "default", Role::Developer),
    ("colleague", "default", Role::Developer),
    ("stranger", "other", Role::Developer),
    ("projectadmin", "default", Role::Admin),
    ("admin", "installation", Role::Admin),
    ("auditor", "installation", Role::Auditor),
    ("projectauditor", "default", Role::Auditor),
];

/// What the router is made of.
#[derive(Clone, FromRef)]
pub(crate) struct Whole {
    orchestrator: Arc<Orchestrator>,
    identity: Arc<Identity>,
    investigator: Arc<dyn Investigator>,
    metrics: Arc<Metrics>,
    limits: Limits,
    lifecycle: Lifecycle,
    trust: Trust,
    build: Build,
    guard: MetricsGuard,
    transparency: Transparency,
}

/// Answers every question with what was asked: attribution has its own tests.
struct Echo;

#[async_trait]
impl Investigator for Echo {
    async fn investigate(
        &self,
        question: &str,
        repository: &str,
        visibility: &Visibility,
    ) -> Result<Answer, InvestigateError> {
        if question == "?" {
            return Err(InvestigateError::Question("nothing is asked".into()));
        }
        if question == "slow" {
            // Longer than any call may take here, and not for ever: it is carried through.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(question != "panic", "a handler panics");
        let seen = serde_json::json!({
            "question": question,
            "repository": repository,
            "everything": visibility.everything,
        });
        Ok(Answer(seen.as_object().cloned().unwrap_or_default()))
    }
}

/// A running installation.
pub(crate) struct Installation {
    pub(crate) dir: TempDir,
    pub(crate) state: StateDir,
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) address: SocketAddr,
    pub(crate) socket: std::path::PathBuf,
    /// The name of the repository in project `default`, and of the one in `other`.
    pub(crate) repository: String,
    pub(crate) other_repository: String,
    pub(crate) policy: Digest,
    tokens: BTreeMap<String, String>,
    stop: Arc<Notify>,
    served: Mutex<Option<tokio::task::JoinHandle<bool>>>,
}

pub(crate) fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

pub(crate) fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn git(dir: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn checkout(dir: &Path) {
    std::fs::create_dir(dir).unwrap();
    git(dir, &["init", "-q", "-b", "main"]);
    std::fs::write(dir.join("README"), "hello\n").unwrap();
    git(dir, &["add", "."]);
    git(dir, &["commit", "-q", "-m", "first"]);
}

impl Installation {
    pub(crate) async fn start() -> Self {
        let many = Limits { requests_per_minute: 1_000_000, burst: 100_000, ..Limits::default() };
        Self::with(many).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::listening(limits, "127.0.0.1:0", None, Transparency::default()).await
    }

    pub(crate) async fn listening(
        limits: Limits,
        address: &str,
        metrics_token: Option<&str>,
        transparency: Transparency,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        std::fs::create_dir_all(state.path()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = Keys::open(&state.keys()).unwrap();
        let vault = Arc::new(custody_record::Vault::open(&state.vault()).unwrap());
        let log = ControlLog::open(&state.path().join("control"), &keys, vault).unwrap();
        let store = SqliteStore::open(&state.path().join("index.sqlite")).await.unwrap();
        let plane = Arc::new(ControlPlane::new(log, Arc::new(store), clock.clone()));
        plane.follow().await.unwrap();
        let options = Options {
            room: Room { running: 0, per_user: 0, per_project: 0 },
            poll: Duration::from_millis(20),
            ..Options::default()
        };
        let ended = |_: &custody_sandbox::simulated::Inside, _| SandboxEnd::Code(0);
        let orchestrator = Orchestrator::new(Parts {
            state: state.clone(),
            plane: plane.clone(),
            keeper: KeeperProgram {
                program: "/bin/false".into(),
                arguments: Vec::new(),
                environment: Vec::new(),
            },
            driver: Arc::new(SimulatedDriver::new(Arc::new(ended), clock.clone())),
            holder: custody_session::this_process(),
            options,
            faults: Arc::new(NoFaults),
        });
        orchestrator.start().await.unwrap();
        let issuer = LocalIssuerOptions {
            dir: state.keys().join("tokens"),
            issuer: "custody".to_owned(),
            audience: "custody".to_owned(),
        };
        let local = LocalIssuer::open(issuer, clock.now()).unwrap();
        let mut verifier = Verifier::new();
        verifier.trust_local(&local).unwrap();
        let external = Box::new(NoExternalIssuers);
        let identity = Identity::new(local, verifier, external, Duration::from_secs(1));
        let identity = Arc::new(identity);

        let server = Author::server();
        for name in ["default", "other"] {
            plane.create_project(&server, &project(name), "").await.unwrap();
        }
        let policy = PolicyVersion::parse(POLICY).unwrap();
        let mut repositories = Vec::new();
        for name in ["default", "other"].map(project) {
            plane.create_policy(&server, &name, &policy).await.unwrap();
            plane.activate_policy(&server, &name, &policy.digest()).await.unwrap();
            let source = dir.path().join(format!("{name}-source"));
            checkout(&source);
            let source = source.to_str().unwrap();
            let registered =
                orchestrator.register_repository(&server, &name, source, None, true).await;
            repositories.push(registered.unwrap().name);
        }
        let other_repository = repositories.pop().unwrap();
        let repository = repositories.pop().unwrap();
        for (name, place, role) in PEOPLE {
            let mut grants = Grants::default();
            match place {
                "installation" => grants.installation.insert(role),
                place => grants.projects.entry(project(place)).or_default().insert(role),
            };
            plane.create_user(&server, &user(name), &grants).await.unwrap();
        }
        plane.create_user(&server, &user("everyone"), &Grants::everything()).await.unwrap();

        let lifecycle = Lifecycle::new();
        let trust = Trust {
            proxies: Arc::new(["127.0.0.9".parse().unwrap()].into()),
            own_uid: nix::unistd::Uid::effective().as_raw(),
            operator: Arc::new(|_| user("operator")),
            is_own_program: false,
        };
        let build = Build {
            version: "0.0.0-test".to_owned(),
            commit: None,
            installation: keys.name().to_owned(),
        };
        let whole = Whole {
            orchestrator: orchestrator.clone(),
            identity: identity.clone(),
            investigator: Arc::new(Echo),
            metrics: Arc::new(Metrics::new()),
            limits,
            lifecycle: lifecycle.clone(),
            trust,
            build,
            guard: MetricsGuard { token: metrics_token.map(Into::into) },
            transparency,
        };
        let tcp = TcpListener::bind(address).await.unwrap();
        let socket = dir.path().join("api.sock");
        let unix = UnixListener::bind(&socket).unwrap();
        let address = tcp.local_addr().unwrap();
        let listeners = Listeners { tcp: Some(tcp), unix: Some(unix) };
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let serving = serve(
            listeners,
            router(whole),
            lifecycle.clone(),
            async move { stopped.notified().await },
            Duration::from_secs(5),
        );
        let served = tokio::spawn(async move { serving.await.unwrap() });
        let mut installation = Self {
            dir,
            state,
            orchestrator,
            identity,
            lifecycle,
            address,
            socket,
            repository,
            other_repository,
            policy: policy.digest(),
            tokens: BTreeMap::new(),
            stop,
            served: Mutex::new(Some(served)),
        };
        let names = PEOPLE.map(|(name, _, _)| name);
        for name in names.into_iter().chain(["everyone"]) {
            let token = installation.mint(name, TokenKind::Access, Scope::ALL.into()).await;
            installation.tokens.insert(name.to_owned(), token);
        }
        installation
    }

    /// Stops it in order; whether everything was done in time.
    pub(crate) async fn stop(&self) -> bool {
        self.stop.notify_one();
        let served = self.served.lock().unwrap().take();
        let drained = served.expect("it is stopped once").await.unwrap();
        self.orchestrator.shut_down().await;
        drained
    }

    pub(crate) fn plane(&self) -> &ControlPlane {
        self.orchestrator.plane()
    }

    /// Somebody's token with every scope.
    pub(crate) fn token(&self, name: &str) -> &str {
        &self.tokens[name]
    }

    /// A new token.
    pub(crate) async fn mint(
        &self,
        name: &str,
        kind: TokenKind,
        scopes: BTreeSet<Scope>,
    ) -> String {
        let wanted = NewToken {
            user: user(name),
            kind,
            scopes,
            lifetime: Duration::from_secs(3600),
            label: "test".to_owned(),
            parent: None,
        };
        let issuer = self.identity.local().await;
        let issued = self.plane().issue_token(&Author::server(), &issuer, wanted).await.unwrap();
        issued.1.text.expose().to_owned()
    }

    /// A token that this issuer signed for these times, and that is not on record.
    pub(crate) async fn signed(&self, name: &str, from: Timestamp, lifetime: Duration) -> String {
        let request = TokenRequest {
            user: user(name),
            kind: TokenKind::Access,
            scopes: Scope::ALL.into(),
            lifetime,
        };
        let id = TokenId::new(from, self.plane().random().unwrap());
        let issued = self.identity.local().await.issue(&request, id, from).unwrap();
        issued.text.expose().to_owned()
    }

    pub(crate) fn asked(&self, requester: &str, policy: Option<&str>) -> NewSession {
        NewSession {
            requester: user(requester),
            project: project("default"),
            repository: self.repository.clone(),
            base: "HEAD".to_owned(),
            dirty: false,
            command: vec!["true".to_owned()],
            directory: None,
            image: "host".to_owned(),
            limits: Default::default(),
            environment: BTreeMap::new(),
            strict: false,
            terminal: None,
            input: false,
            attach: false,
            policy: policy.map(|text| PolicyVersion::parse(text).unwrap()),
            idempotency: None,
        }
    }

    /// A session of `dev` that waits in line, or for approval.
    pub(crate) async fn session(&self, policy: Option<&str>) -> SessionRow {
        let asked = self.asked("dev", policy);
        self.orchestrator.create(&Author::server(), asked).await.unwrap().row
    }

    /// The control log from an event on.
    pub(crate) fn log(&self, from: u64) -> Vec<ControlEvent> {
        self.plane().log().read(from, 10_000).unwrap()
    }

    pub(crate) fn log_size(&self) -> u64 {
        self.plane().log().size().unwrap()
    }

    /// Lets the store see a session's record as it is.
    pub(crate) async fn index(&self, session: SessionId) {
        self.plane().index(session, self.orchestrator.record(session)).await.unwrap();
    }
}
