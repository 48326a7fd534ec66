//! What runs is told, and ends with its session.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use custody_keeper::inside::Streams;
use custody_keeper::inside::protocol::{ExitStatus, Step, Window};
use custody_record::event::ExitStatus as Ended;

use super::sandbox::{Sandbox, Told, start, until};

#[test]
fn a_thousand_short_lived_programs_are_all_told_with_their_arguments() {
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true argument-$i; i=$((i+1)); done";
    let done = Sandbox::run(start(&["sh", "-c", script])).finish();
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(0))), "{}", done.stderr);
    let execs = done.told.execs.lock().unwrap();
    assert_eq!(execs.len(), 1001);
    assert_eq!(execs[0].argv, ["sh", "-c", script]);
    assert_eq!(execs[0].path, "/usr/bin/sh");
    assert_eq!(execs[0].cwd.as_deref(), Some("/tmp"));
    for (i, exec) in execs[1..].iter().enumerate() {
        assert_eq!(exec.argv, ["/bin/true".to_owned(), format!("argument-{i}")]);
        assert_eq!(exec.parent, Some(execs[0].pid));
    }
    let exits = done.told.exits.lock().unwrap();
    for exec in execs.iter() {
        assert!(exits.contains(&(exec.pid, Some(Ended::Code(0)))), "{exec:?}");
    }
    assert_eq!(*done.told.gaps.lock().unwrap(), [] as [String; 0]);
}

#[test]
fn an_exec_that_can_not_be_recorded_does_not_happen() {
    let told = Told { unwritable: Some("/bin/echo".into()), ..Told::default() };
    let sandbox = Sandbox::prepare_with(start(&["sh", "-c", "/bin/echo written; exit 3"]), told);
    sandbox.inside.go().unwrap();
    let done = sandbox.finish();
    assert_eq!(done.stdout, "");
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(3))));
}

#[test]
fn a_thread_that_executes_is_told_as_its_process() {
    let script = "use threads; threads->create(sub { system('/bin/true', 'of-a-thread') })->join;";
    let done = Sandbox::run(start(&["perl", "-e", script])).finish();
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(0))), "{}", done.stderr);
    let execs = done.told.execs.lock().unwrap();
    let last = execs.last().unwrap();
    assert_eq!(last.argv, ["/bin/true", "of-a-thread"]);
    assert_eq!(last.parent, Some(execs[0].pid));
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let failed = Sandbox::refused(start(&["no-such-command"]));
    assert_eq!((failed.step, failed.errno), (Step::Exec, Some(nix::libc::ENOENT)));
    assert!(failed.message.starts_with("no-such-command: "), "{}", failed.message);
    let done = Sandbox::run(start(&["/no/such/command"])).finish();
    let failed = done.status.unwrap().unwrap_err();
    assert_eq!((failed.step, failed.errno), (Step::Exec, Some(nix::libc::ENOENT)));
    let done = Sandbox::run(start(&["/etc/passwd"])).finish();
    let failed = done.status.unwrap().unwrap_err();
    assert_eq!((failed.step, failed.errno), (Step::Exec, Some(nix::libc::EACCES)));
}

#[test]
fn a_daemon_that_forked_twice_leaves_nothing() {
    let script = "(setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &) ; exec /bin/true";
    let done = Sandbox::run(start(&["sh", "-c", script])).finish();
    assert_eq!(done.status, Some(Ok(ExitStatus::Code(0))));
    for exec in done.told.execs.lock().unwrap().iter() {
        assert!(!std::path::Path::new(&format!("/proc/{}", exec.pid)).exists(), "{exec:?}");
    }
}

#[test]
fn a_keeper_that_is_gone_takes_the_sandbox_with_it() {
    let sandbox = Sandbox::run(start(&["sleep", "1000"]));
    until("the command runs", || !sandbox.told.execs.lock().unwrap().is_empty());
    let pid = sandbox.told.execs.lock().unwrap()[0].pid;
    let (mut driver, _told) = sandbox.abandon();
    driver.wait().unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_stop_ends_what_ignores_it_after_its_grace() {
    let sandbox = Sandbox::run(start(&["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"]));
    until("it sleeps", || sandbox.told.execs.lock().unwrap().len() == 2);
    sandbox.inside.stop(Duration::from_millis(50)).unwrap();
    assert_eq!(sandbox.finish().status, Some(Ok(ExitStatus::Signal(9))));
}

#[test]
fn a_terminal_has_its_size_and_takes_signals() {
    // bash runs a trap once the command before it has ended. A `read` does not end of itself: a signal that came a moment after its
    // line was there waited for the next line for ever.
    let script = "trap 'stty size; exit 4' WINCH; stty size; while :; do sleep 0.05; done";
    let mut request = start(&["bash", "-c", script]);
    request.terminal = Some(Window { rows: 24, cols: 80 });
    let sandbox = Sandbox::run(request);
    let Some(Streams::Terminal(master)) = &sandbox.streams else { panic!("a terminal") };
    let mut master = File::from(master.try_clone().unwrap());
    let mut seen = String::new();
    let more = |master: &mut File, seen: &mut String| {
        let mut bytes = [0; 256];
        let n = master.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
    };
    while !seen.contains("24 80") {
        more(&mut master, &mut seen);
    }
    sandbox.inside.resize(Window { rows: 50, cols: 132 }).unwrap();
    while !seen.contains("50 132") {
        more(&mut master, &mut seen);
    }
    drop(master);
    assert_eq!(sandbox.finish().status, Some(Ok(ExitStatus::Code(4))));
    let mut request = start(&["sleep", "1000"]);
    request.terminal = Some(Window { rows: 24, cols: 80 });
    let sandbox = Sandbox::run(request);
    until("it sleeps", || !sandbox.told.execs.lock().unwrap().is_empty());
    sandbox.inside.signal(nix::libc::SIGINT).unwrap();
    assert_eq!(sandbox.finish().status, Some(Ok(ExitStatus::Signal(2))));
}
