//! A server of the real program on an installation of its own, and the client of its operator.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use custody_api_client::{Client, Credentials, Followed, Patience, ServerAddress};
use custody_api_types::repository::RegisterRepository;
use custody_api_types::session::{CreateSession, Session};
use custody_model::{ProjectName, SessionId};
use custody_tests::{Census, Installation, Repository};

/// How long something may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Everybody may request everything; with `approvals` people of `root` or `boss*` to approve.
pub(crate) const POLICY: &str = "version: custody/policy/v1\nname: team\nrequesters: {users: ['*']}\n\
     images: [host]\ncommands:\n  - {allow: ['*']}\n";

pub(crate) struct Ground {
    pub(crate) installation: Installation,
    pub(crate) repository: String,
    pub(crate) client: Client,
    /// The token of an admin who did not ask for the sessions.
    boss: String,
    server: Option<Child>,
    _checkout: Repository,
    keys: AtomicU64,
}

impl Ground {
    /// A server with a project, a policy and a repository.
    pub(crate) async fn new() -> Self {
        let (installation, checkout) = (Installation::new(), Repository::example());
        let client = client(&installation);
        let mut ground = Self {
            installation,
            repository: String::new(),
            client,
            boss: String::new(),
            server: None,
            _checkout: checkout,
            keys: AtomicU64::new(0),
        };
        ground.start(&[]).await;
        let boss = serde_json::json!({ "name": "boss", "grants": { "installation": ["admin"] } });
        ground.client.create_user(&serde_json::from_value(boss).unwrap()).await.unwrap();
        let token =
            serde_json::json!({ "user": "boss", "kind": "access", "lifetime_seconds": 86400 });
        let token = ground.client.create_token(&serde_json::from_value(token).unwrap()).await;
        ground.boss = token.unwrap().text;
        let project = ProjectName::default_project();
        let policy = ground.client.create_policy(&project, POLICY).await.unwrap();
        ground.client.activate_policy(&project, &policy.digest).await.unwrap();
        let source = ground._checkout.path().to_str().unwrap().to_owned();
        let registered = RegisterRepository { project, source, name: None, fetch: true };
        ground.repository = ground.client.register_repository(&registered).await.unwrap().name;
        ground
    }

    fn socket(&self) -> PathBuf {
        self.installation.state().join("run/custody.sock")
    }

    /// A client that gives up at once, of the operator or of the boss.
    pub(crate) fn impatient(&self, boss: bool) -> Client {
        let patience = Patience { first: Duration::ZERO, later: Duration::ZERO };
        let credentials = match boss {
            true => Credentials::Access(self.boss.clone()),
            false => Credentials::None,
        };
        Client::new(ServerAddress::Unix(self.socket()), credentials, patience).unwrap()
    }

    /// Starts the server and waits until it is ready.
    pub(crate) async fn start(&mut self, options: &[&str]) {
        self.spawn(options);
        self.until_ready().await;
    }

    pub(crate) fn spawn(&mut self, options: &[&str]) {
        let mut command: Command = self
            .installation
            .command(self.installation.state(), &["serve", "--listen", "127.0.0.1:0"]);
        // A queue that a test's burst fits into.
        command.args(options).env("CUSTODY_LIMITS__REQUESTS_PER_MINUTE", "60000");
        command.env("CUSTODY_LIMITS__BURST", "10000");
        let log = self.installation.state().join("server.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let out = log.try_clone().unwrap();
        command.stdout(out).stderr(log).stdin(Stdio::null());
        self.server = Some(command.spawn().expect("the server starts"));
    }

    pub(crate) async fn until_ready(&mut self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if self.socket().exists() && self.client.readiness().await.is_ok() {
                return;
            }
            if let Some(status) = self.server.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended: {status}\n{}", self.log());
            }
            assert!(tokio::time::Instant::now() < deadline, "never ready\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The server's URL, as it says at its start.
    pub(crate) fn address(&self) -> String {
        let log = self.log();
        let said = log.lines().rev().find_map(|line| line.split_once("serving ")).unwrap();
        said.1.trim().to_owned()
    }

    pub(crate) fn boss(&self) -> &str {
        &self.boss
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.installation.state().join("server.log")).unwrap_or_default()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have killed itself.
            let _gone = server.kill();
            server.wait().unwrap();
        }
    }

    /// Waits until the server dies by itself; `false` if it does not in time.
    pub(crate) async fn until_dead(&mut self, patience: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline {
            if self.server.as_mut().unwrap().try_wait().unwrap().is_some() {
                self.server = None;
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// SIGTERM, and waits.
    pub(crate) fn end(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = i32::try_from(server.id()).unwrap();
        // SAFETY: kill has no preconditions; the child was not waited for, so its pid is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        let status = server.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }

    pub(crate) fn asks(&self, script: &str) -> CreateSession {
        let asked = serde_json::json!({
            "repository": self.repository,
            "command": ["sh", "-c", script],
        });
        serde_json::from_value(asked).unwrap()
    }

    pub(crate) fn key(&self) -> String {
        format!("request-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn create(&self, script: &str) -> Session {
        self.client.create_session(&self.key(), &self.asks(script)).await.unwrap()
    }

    pub(crate) async fn session(&self, id: SessionId) -> Session {
        self.client.session(&id.to_string()).await.unwrap()
    }

    pub(crate) async fn until(
        &self,
        id: SessionId,
        what: &str,
        wanted: impl Fn(&Session) -> bool,
    ) -> Session {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let session = self.session(id).await;
            if wanted(&session) {
                return session;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what} never came: {session:#?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn until_over(&self, id: SessionId) -> Session {
        self.until(id, "the end", |session| session.state.is_final()).await
    }

    /// Every session is over, sealed and intact, and nothing of any is left but what interrupted ones had written.
    pub(crate) async fn assert_whole(&self, what: &str) {
        let mut kept = Vec::new();
        for id in self.installation.sessions() {
            if self.client.session(&id.to_string()).await.is_err() {
                // Begun and never on record: files that a start of the server a minute later removes.
                for name in ["record", "run", "workspace"] {
                    let path = self.installation.directory(id).join(name);
                    assert!(!path.exists(), "{what}: {} is nobody's", path.display());
                }
                continue;
            }
            let session = self.until_over(id).await;
            if session.state.name() == "interrupted" {
                kept.push(self.installation.directory(id).join("workspace"));
            }
            if self.installation.directory(id).join("record").exists() {
                self.until(id, "the seal", |session| session.root.is_some()).await;
                let verified = self.installation.verify(id);
                assert!(matches!(verified.code, Some(0 | 69)), "{what}: {}", verified.text());
            } else {
                assert!(
                    matches!(session.state.name(), "failed" | "refused"),
                    "{what}: {session:#?}"
                );
            }
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut census = Census::of(&self.installation);
            // The server itself, with its log, store and sockets.
            census.processes.retain(|process| !process.contains("serve"));
            census.descriptors.clear();
            census.working_directories.retain(|path| !kept.contains(path));
            census.special_files.retain(|path| !path.ends_with("run/custody.sock"));
            if census.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what}: {census:#?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn client(installation: &Installation) -> Client {
    let socket = installation.state().join("run/custody.sock");
    let patience = Patience { first: PATIENCE, later: PATIENCE };
    Client::new(ServerAddress::Unix(socket), Credentials::None, patience).unwrap()
}

/// Follows a session to its end, and checks that every event comes once and in order.
pub(crate) async fn watch(client: Client, id: SessionId) -> u64 {
    let mut following = client.follow(id, 0);
    let mut next = 0;
    loop {
        match following.next().await.expect("the stream goes on") {
            Some(Followed::Event { seq, event }) => {
                assert_eq!(seq, next, "of session {id}");
                assert_eq!(event.parse().expect("an event").seq, next);
                next += 1;
            }
            Some(Followed::End(end)) => assert_eq!(end.events, next),
            None => return next,
        }
    }
}
