//! Nothing is left of a session but its record and its branch: no mount, process, control group, descriptor, socket or
//! working directory.

use custody_tests::census::{Census, own_descriptors};
use custody_tests::deadline::until;
use custody_tests::repository::POLICY;
use custody_tests::{Installation, Repository};

/// Waits for what ends asynchronously (the kernel's teardown of namespaces), then says what is left.
fn assert_nothing_is_left(installation: &Installation) {
    let mut last = Census::default();
    let empty = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("nothing to be left", || {
            last = Census::of(installation);
            last.is_empty().then_some(())
        });
    }));
    assert!(empty.is_ok(), "left behind: {last:#?}");
}

const SESSION: &str =
    "cat README.md; echo x >>notes.txt; cat secrets/key.txt; (setsid sleep 1000 &); true";

#[test]
fn fifty_sessions_one_after_the_other_leave_nothing() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let descriptors = own_descriptors();
    for number in 1..=50 {
        let output = installation.run(&repository, &["--policy", &policy], SESSION);
        assert_eq!(output.code, Some(0), "session {number}: {}", output.text());
    }
    assert_eq!(installation.sessions().len(), 50);
    assert_eq!(own_descriptors(), descriptors);
    assert_nothing_is_left(&installation);
}

#[test]
fn ten_sessions_at_once_leave_nothing() {
    let (installation, repository) = (Installation::new(), Repository::with_secrets());
    let policy = installation.policy(POLICY);
    let running: Vec<_> = (0..10)
        .map(|number| {
            let options: &[&str] = if number % 2 == 0 { &[] } else { &["--strict"] };
            let options = [&["--policy", policy.as_str()], options].concat();
            installation.start(&repository, &options, SESSION)
        })
        .collect();
    for (number, child) in running.into_iter().enumerate() {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "session {number}: {:?} {text}", output.status);
    }
    assert_eq!(installation.sessions().len(), 10);
    for session in installation.sessions() {
        let _ = installation.verify(session).succeeded();
    }
    assert_nothing_is_left(&installation);
}

#[test]
fn a_command_that_cannot_be_run_leaves_nothing() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let output = installation.custody(repository.path(), &["run", "--", "/nonexistent/agent"]);
    assert_ne!(output.code, Some(0));
    assert_nothing_is_left(&installation);
}

#[test]
fn an_interrupted_command_line_leaves_nothing() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let mut running = installation.start(&repository, &[], "echo ready; exec sleep 1000");
    let mut output = std::io::BufReader::new(running.stdout.take().expect("a pipe"));
    let mut seen = String::new();
    while !seen.contains("ready") {
        let read = std::io::BufRead::read_line(&mut output, &mut seen).expect("readable");
        assert!(read > 0, "the session ended early: {seen}");
    }
    let pid = i32::try_from(running.id()).expect("a pid");
    // SAFETY: kill has no preconditions; the child was not waited for, so its pid is still its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let _ = running.wait().expect("it ends");
    assert_nothing_is_left(&installation);
}
