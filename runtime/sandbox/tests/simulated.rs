//! The simulated driver keeps the contract.

use std::sync::Arc;

use custody_model::{Limits, SystemClock};
use custody_sandbox::suite::{Fixture, Room, obey};
use custody_sandbox::{Driver, Identity, Root, SandboxSpec, SimulatedDriver};

struct Simulated(SimulatedDriver);

impl Fixture for Simulated {
    fn driver(&self) -> &dyn Driver {
        &self.0
    }

    fn spec(&self, room: &Room) -> SandboxSpec {
        SandboxSpec {
            session: room.session(),
            root: Root::Host,
            workspace: room.path("workspace"),
            objects: None,
            init: "/nowhere/init".into(),
            control: room.path("control"),
            scratch: None,
            limits: Limits::default(),
            hostname: "sandbox".to_owned(),
            identity: Identity::default(),
            extra_read_only: Vec::new(),
        }
    }
}

custody_sandbox::behaviour_suite!(Simulated(SimulatedDriver::new(
    Arc::new(obey),
    Arc::new(SystemClock)
)));
