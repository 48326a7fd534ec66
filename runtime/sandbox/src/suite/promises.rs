//! The promises of the contract, each a function that panics if a driver breaks it.
#![allow(clippy::missing_panics_doc, reason = "panicking is what a promise that is broken does")]

use std::time::Duration;

use custody_model::Limits;
use custody_model::state::sandbox::{SandboxEnd, SandboxState};

use super::{Control, Fixture, Room, authorize};
use crate::{Sandbox, SandboxError, SandboxSpec};

/// How long an end may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to happen to count as standing still.
const STILLNESS: Duration = Duration::from_millis(200);
/// Bytes of the memory limit under test.
const MEMORY: u64 = 64 << 20;
/// The process limit under test.
const PROCESSES: u32 = 20;

fn provision(fixture: &dyn Fixture, room: &Room, limits: &Limits) -> Box<dyn Sandbox> {
    let authorization = authorize(limits);
    let mut spec = fixture.spec(room);
    spec.limits = authorization.intent().limits().clone();
    fixture.driver().provision(&authorization, &spec).expect("a sandbox")
}

fn running(fixture: &dyn Fixture, room: &Room, limits: &Limits) -> (Box<dyn Sandbox>, Control) {
    let mut sandbox = provision(fixture, room, limits);
    sandbox.start().expect("init is executed");
    let control = room.control();
    (sandbox, control)
}

/// A sandbox that was made stands ready, and no process of it has run.
pub fn nothing_runs_before_the_start(fixture: &dyn Fixture) {
    let room = Room::new();
    let mut sandbox = provision(fixture, &room, &Limits::default());
    assert!(matches!(sandbox.state(), SandboxState::Ready { .. }));
    assert_eq!(sandbox.pid(), None);
    assert!(matches!(sandbox.freeze(), Err(SandboxError::State(_))));
    assert!(matches!(sandbox.thaw(), Err(SandboxError::State(_))));
    assert!(matches!(sandbox.wait(Duration::ZERO), Err(SandboxError::State(_))));
    assert!(!sandbox.protections().is_empty());
    assert!(room.is_untouched());
    sandbox.start().expect("init is executed");
    assert!(matches!(sandbox.start(), Err(SandboxError::State(_))));
    assert!(sandbox.pid().is_some());
    assert_eq!(room.control().order(&["echo", "here"]), "here");
    sandbox.destroy().expect("nothing is left");
}

/// The exit code of process 1 comes back, as often as it is asked for.
pub fn the_exit_code_comes_back_and_stays(fixture: &dyn Fixture) {
    let room = Room::new();
    let (mut sandbox, mut control) = running(fixture, &room, &Limits::default());
    assert_eq!(sandbox.wait(STILLNESS).expect("it can be waited for"), None);
    control.say(&["exit", "42"]);
    let exit = sandbox.wait(PATIENCE).expect("it can be waited for").expect("it ends");
    assert_eq!(exit.end, SandboxEnd::Code(42));
    assert_eq!(sandbox.wait(Duration::ZERO).expect("it can be waited for"), Some(exit));
    assert!(matches!(sandbox.state(), SandboxState::Exited { .. }));
    assert_eq!(sandbox.pid(), None);
    sandbox.usage().expect("the usage of what has ended");
    sandbox.kill().expect("nothing is left to kill");
    sandbox.destroy().expect("nothing is left");
}

/// What is frozen does nothing; thawed, it goes on where it was.
pub fn nothing_moves_while_frozen(fixture: &dyn Fixture) {
    let room = Room::new();
    let (mut sandbox, mut control) = running(fixture, &room, &Limits::default());
    assert_eq!(control.order(&["echo", "before"]), "before");
    sandbox.freeze().expect("it freezes");
    assert!(matches!(sandbox.state(), SandboxState::Frozen { .. }));
    control.say(&["echo", "after"]);
    assert_eq!(control.answer(STILLNESS), None);
    sandbox.thaw().expect("it thaws");
    assert_eq!(control.answer(PATIENCE).as_deref(), Some("after"));
    sandbox.destroy().expect("nothing is left");
}

/// A frozen sandbox can be killed like any other.
pub fn what_is_frozen_can_be_killed(fixture: &dyn Fixture) {
    let room = Room::new();
    let (mut sandbox, _control) = running(fixture, &room, &Limits::default());
    sandbox.freeze().expect("it freezes");
    sandbox.kill().expect("it can be killed");
    let exit = sandbox.wait(PATIENCE).expect("it can be waited for").expect("it ends");
    assert_eq!(exit.end, SandboxEnd::Signal(9));
    sandbox.destroy().expect("nothing is left");
}

/// A second kill does nothing.
pub fn killing_twice_is_no_error(fixture: &dyn Fixture) {
    let room = Room::new();
    let (mut sandbox, mut control) = running(fixture, &room, &Limits::default());
    sandbox.kill().expect("it can be killed");
    sandbox.kill().expect("and again");
    let exit = sandbox.wait(PATIENCE).expect("it can be waited for").expect("it ends");
    assert_eq!(exit.end, SandboxEnd::Signal(9));
    assert!(control.has_ended());
    sandbox.kill().expect("and after its end");
    sandbox.destroy().expect("nothing is left");
}

/// A process that takes more memory than the limit is killed; the sandbox goes on and counts it.
pub fn too_much_memory_is_killed_and_counted(fixture: &dyn Fixture) {
    let room = Room::new();
    let limits = Limits { memory_bytes: Some(MEMORY), ..Limits::default() };
    let (sandbox, mut control) = running(fixture, &room, &limits);
    assert_eq!(control.order(&["allocate", &(MEMORY / 4).to_string()]), "code 0");
    assert_eq!(control.order(&["allocate", &(MEMORY * 4).to_string()]), "signal 9");
    assert_eq!(control.order(&["echo", "alive"]), "alive");
    let usage = sandbox.usage().expect("its usage");
    assert!(usage.memory_kills >= Some(1), "{usage:?}");
    assert!(usage.memory_peak_bytes <= Some(MEMORY), "{usage:?}");
    sandbox.destroy().expect("nothing is left");
}

/// There are never more processes than the limit says; the refusals are counted.
pub fn too_many_processes_are_refused_and_counted(fixture: &dyn Fixture) {
    let room = Room::new();
    let limits = Limits { processes: Some(PROCESSES), ..Limits::default() };
    let (sandbox, mut control) = running(fixture, &room, &limits);
    assert_eq!(control.order(&["processes", "200"]), (PROCESSES - 1).to_string());
    let usage = sandbox.usage().expect("its usage");
    assert_eq!(usage.processes, Some(u64::from(PROCESSES)));
    assert!(usage.process_refusals >= Some(1), "{usage:?}");
    sandbox.destroy().expect("nothing is left");
}

/// A limit that the permit grants can't be raised or left out.
pub fn no_limit_is_looser_than_the_permit(fixture: &dyn Fixture) {
    let room = Room::new();
    let authorization = authorize(&Limits { memory_bytes: Some(MEMORY), ..Limits::default() });
    for memory_bytes in [Some(MEMORY + 1), None] {
        let mut spec = fixture.spec(&room);
        spec.limits = Limits { memory_bytes, ..authorization.intent().limits().clone() };
        let refused = fixture.driver().provision(&authorization, &spec);
        assert!(matches!(
            refused.err(),
            Some(SandboxError::ExceedsPermit { limit: "memory_bytes" })
        ));
    }
}

/// A specification is checked before anything is made.
pub fn a_specification_that_contradicts_itself_is_refused(fixture: &dyn Fixture) {
    type Spoil = fn(&mut SandboxSpec);
    let room = Room::new();
    let authorization = authorize(&Limits::default());
    let cases: [(&str, Spoil); 4] = [
        ("hostname", |spec| spec.hostname = "two words".to_owned()),
        ("workspace", |spec| spec.workspace = "relative".into()),
        ("init", |spec| spec.init = "/usr/../init".into()),
        ("identity.uid", |spec| spec.identity.uid = 0),
    ];
    for (wanted, spoil) in cases {
        let mut spec = fixture.spec(&room);
        spec.limits = authorization.intent().limits().clone();
        spoil(&mut spec);
        match fixture.driver().provision(&authorization, &spec) {
            Err(SandboxError::InvalidSpec { field, .. }) => assert_eq!(field, wanted),
            Err(other) => panic!("{wanted}: {other}"),
            Ok(_) => panic!("{wanted}: it was made"),
        }
    }
}

/// Destroying a sandbox that runs ends everything in it.
pub fn destroying_ends_what_runs(fixture: &dyn Fixture) {
    let room = Room::new();
    let (sandbox, mut control) = running(fixture, &room, &Limits::default());
    sandbox.destroy().expect("nothing is left");
    assert!(control.has_ended());
}

/// So does forgetting it.
pub fn dropping_ends_what_runs(fixture: &dyn Fixture) {
    let room = Room::new();
    let (sandbox, mut control) = running(fixture, &room, &Limits::default());
    drop(sandbox);
    assert!(control.has_ended());
}

/// A sandbox that was only made can be destroyed, and nothing has run.
pub fn what_was_never_started_can_be_destroyed(fixture: &dyn Fixture) {
    let room = Room::new();
    let mut sandbox = provision(fixture, &room, &Limits::default());
    sandbox.kill().expect("nothing is there to kill");
    sandbox.destroy().expect("nothing is left");
    assert!(room.is_untouched());
}
