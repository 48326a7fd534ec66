//! An installation whose orchestrator runs in the test's own process; its keepers are the real program's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use custody_control::{Author, ControlPlane};
use custody_keeper::layout::StateDir;
use custody_model::state::session::SessionState;
use custody_model::{Actor, Clock, Limits, ProjectName, SessionId, SystemClock, UserName};
use custody_policy::PolicyVersion;
use custody_record::{ControlLog, Keys};
use custody_sandbox_namespace::NamespaceDriver;
use custody_session::{
    Faults, KeeperProgram, NewSession, Options, Orchestrator, Parts, SessionError, When,
    this_process,
};
use custody_store::{SessionRow, Store};
use custody_store_sqlite::SqliteStore;
use custody_tests::{Installation, Repository};

/// How long a session of a test may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A fault that strikes once, at one step.
#[derive(Debug, Default)]
pub(crate) struct Trap {
    pub(crate) fails: Mutex<Option<(String, When)>>,
    pub(crate) twice: Mutex<Option<String>>,
    pub(crate) seen: Mutex<Vec<String>>,
}

impl Faults for Trap {
    fn at(&self, step: &str, when: When) -> Result<(), SessionError> {
        if when == When::Before {
            self.seen.lock().unwrap().push(step.to_owned());
        }
        let mut fails = self.fails.lock().unwrap();
        if *fails == Some((step.to_owned(), when)) {
            *fails = None;
            return Err(SessionError::Fault(step.to_owned()));
        }
        Ok(())
    }

    fn twice(&self, step: &str) -> bool {
        self.twice.lock().unwrap().as_deref() == Some(step)
    }
}

pub(crate) struct Ground {
    pub(crate) installation: Installation,
    _repository: Repository,
    pub(crate) orchestrator: Arc<Orchestrator>,
    pub(crate) trap: Arc<Trap>,
    pub(crate) name: String,
}

pub(crate) fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

pub(crate) fn project() -> ProjectName {
    ProjectName::default_project()
}

/// As `name` would call.
pub(crate) fn author(name: &str) -> Author {
    Author { actor: Actor::User { name: user(name) }, via: None, cause: None }
}

/// Everybody may request `sh`; with `approvals` people of `boss*` to approve.
pub(crate) fn policy(approvals: u8) -> PolicyVersion {
    let approval = match approvals {
        0 => String::new(),
        n => format!("approval: {{required: always, by: ['boss*'], count: {n}}}\n"),
    };
    let text = format!(
        "version: custody/policy/v1\nname: team\nrequesters: {{users: ['*']}}\nimages: ['host']\n\
         commands:\n  - {{allow: [sh]}}\n{approval}"
    );
    PolicyVersion::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

pub(crate) fn options() -> Options {
    Options { lease: Duration::from_secs(3), ..Options::default() }
}

impl Ground {
    /// An installation with a project, an active policy and a repository.
    pub(crate) async fn new(approvals: u8) -> Self {
        Self::with(policy(approvals), options(), Arc::new(SystemClock)).await
    }

    /// The same under this policy, with these limits and this clock.
    pub(crate) async fn with(
        version: PolicyVersion,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (installation, repository) = (Installation::new(), Repository::example());
        let trap = Arc::new(Trap::default());
        let orchestrator = open_at(&installation, trap.clone(), options, clock).await;
        orchestrator.start().await.unwrap();
        let plane = orchestrator.plane().clone();
        let admin = author("admin");
        plane.create_project(&admin, &project(), "for tests").await.unwrap();
        plane.create_policy(&admin, &project(), &version).await.unwrap();
        plane.activate_policy(&admin, &project(), &version.digest()).await.unwrap();
        let source = repository.path().to_str().unwrap();
        let row =
            orchestrator.register_repository(&admin, &project(), source, None, true).await.unwrap();
        Self { installation, _repository: repository, orchestrator, trap, name: row.name }
    }

    /// A request for `sh -c SCRIPT`.
    pub(crate) fn asks(&self, requester: &str, script: &str) -> NewSession {
        NewSession {
            requester: user(requester),
            project: project(),
            repository: self.name.clone(),
            base: "HEAD".to_owned(),
            dirty: false,
            command: ["sh", "-c", script].map(str::to_owned).into(),
            directory: None,
            image: "host".to_owned(),
            limits: Limits::default(),
            environment: BTreeMap::new(),
            strict: false,
            terminal: None,
            input: false,
            attach: false,
            policy: None,
            idempotency: None,
        }
    }

    pub(crate) async fn create(&self, requester: &str, script: &str) -> SessionRow {
        let asked = self.asks(requester, script);
        self.orchestrator.create(&author(requester), asked).await.unwrap().row
    }

    pub(crate) async fn row(&self, session: SessionId) -> SessionRow {
        self.orchestrator.row(session).await.unwrap()
    }

    /// Waits until a session's state is as wanted.
    pub(crate) async fn until(
        &self,
        session: SessionId,
        what: &str,
        wanted: impl Fn(&SessionState) -> bool,
    ) -> SessionRow {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let row = self.row(session).await;
            if wanted(&row.state) {
                return row;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what} never came: {row:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn until_over(&self, session: SessionId) -> SessionRow {
        self.until(session, "the end", SessionState::is_final).await
    }

    pub(crate) async fn dump(&self) -> Vec<String> {
        self.orchestrator.plane().store().dump().await.unwrap()
    }
}

/// Another instance on the same installation.
pub(crate) async fn open(
    installation: &Installation,
    faults: Arc<dyn Faults>,
    options: Options,
) -> Arc<Orchestrator> {
    open_at(installation, faults, options, Arc::new(SystemClock)).await
}

/// The same by another clock.
pub(crate) async fn open_at(
    installation: &Installation,
    faults: Arc<dyn Faults>,
    options: Options,
    clock: Arc<dyn Clock>,
) -> Arc<Orchestrator> {
    let state = StateDir::new(installation.state());
    let keys = Keys::open(&state.keys()).unwrap();
    let vault = Arc::new(custody_record::Vault::open(&state.vault()).unwrap());
    let log = ControlLog::open(&state.control(), &keys, vault).unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&state.store()).await.unwrap());
    let program = custody_tests::installation::binary();
    let driver =
        NamespaceDriver::new(program.clone(), vec!["sandbox-launch".into()], clock.clone())
            .unwrap();
    let arguments = ["--state", installation.state().to_str().unwrap(), "keeper"];
    Orchestrator::new(Parts {
        plane: Arc::new(ControlPlane::new(log, store, clock)),
        keeper: KeeperProgram {
            program,
            arguments: arguments.map(str::to_owned).into(),
            environment: Vec::new(),
        },
        driver: Arc::new(driver),
        holder: this_process(),
        state,
        options,
        faults,
    })
}
