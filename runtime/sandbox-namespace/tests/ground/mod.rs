//! The real driver with a small init, for the tests beside this directory.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use custody_model::{Limits, SystemClock};
use custody_sandbox::suite::{Control, Fixture, Room, authorize};
use custody_sandbox::{Driver, Identity, Root, Sandbox, SandboxSpec};
use custody_sandbox_namespace::NamespaceDriver;

/// A launcher and an init in one.
pub(crate) const STUB: &str = env!("CARGO_BIN_EXE_custody-sandbox-stub");

/// The driver, with a group of its own for the sandboxes of one test, removed at its end.
pub(crate) struct Real {
    pub(crate) driver: NamespaceDriver,
    pub(crate) parent: String,
}

impl Real {
    pub(crate) fn new() -> Self {
        Self::below(format!("custody-test-{}", std::process::id()))
    }

    pub(crate) fn below(parent: String) -> Self {
        let driver =
            NamespaceDriver::new(STUB.into(), vec!["sandbox-launch".into()], Arc::new(SystemClock))
                .expect("control groups can be read")
                .with_cgroup_parent(parent.clone());
        Self { driver, parent }
    }

    /// The groups of sessions in every hierarchy.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let groups = self.parents().into_iter().flat_map(|parent| fs::read_dir(parent).unwrap());
        groups.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    }

    fn parents(&self) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap();
        hierarchies
            .map(|entry| entry.unwrap().path().join(&self.parent))
            .chain([Path::new("/sys/fs/cgroup").join(&self.parent)])
            .filter(|path| path.is_dir())
            .collect()
    }

    /// A started sandbox and the keeper's end of its control socket.
    pub(crate) fn run(&self, room: &Room, spec: SandboxSpec) -> (Box<dyn Sandbox>, Control) {
        let authorization = authorize(&spec.limits);
        let limits = authorization.intent().limits().clone();
        let mut sandbox = self
            .driver
            .provision(&authorization, &SandboxSpec { limits, ..spec })
            .expect("a sandbox");
        sandbox.start().expect("init is executed");
        (sandbox, room.control())
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        for parent in self.parents() {
            // Another process of the same test may use it still; the last one removes it.
            let _ = fs::remove_dir(parent);
        }
    }
}

impl Fixture for Real {
    fn driver(&self) -> &dyn Driver {
        &self.driver
    }

    fn spec(&self, room: &Room) -> SandboxSpec {
        let identity = Identity::default();
        let workspace = room.path("workspace");
        std::os::unix::fs::chown(&workspace, Some(identity.host_uid()), Some(identity.host_gid()))
            .expect("the workspace is the agent's");
        SandboxSpec {
            session: room.session(),
            root: Root::Host,
            workspace,
            objects: Some(room.path("objects")),
            init: PathBuf::from(STUB),
            control: room.path("control"),
            scratch: None,
            limits: Limits::default(),
            hostname: "sandbox".to_owned(),
            identity,
            extra_read_only: Vec::new(),
        }
    }
}

/// Runs a shell command inside; its exit code and what it wrote.
pub(crate) fn sh(control: &mut Control, command: &str) -> (i32, String) {
    let answer = control.order(&["run", "sh", "-c", command]);
    let (code, output) = answer.split_once('\n').unwrap_or((&answer, ""));
    (code.parse().unwrap_or(i32::MIN), output.to_owned())
}
