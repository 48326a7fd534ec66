//! The machine around a sandbox is out of reach.

use custody_model::LimitName;
use custody_record::event::{ClosingCode, ExitStatus, Outcome};
use custody_tests::repository::POLICY;
use custody_tests::{Installation, Repository};

/// Runs a script in a session and returns what it printed.
fn printed(script: &str) -> String {
    let (installation, repository) = (Installation::new(), Repository::example());
    installation.run(&repository, &["--quiet"], script).text()
}

#[test]
fn home_directories_and_credentials_are_hidden() {
    let marker = tempfile::NamedTempFile::new_in("/root").expect("root has a home");
    std::fs::write(marker.path(), "nobody's business").expect("written");
    let script = format!(
        "cat {}; ls /root /home; cat /etc/shadow; ls /var/lib /run; echo the-end",
        marker.path().display()
    );
    let printed = printed(&script);
    assert!(printed.contains("the-end"), "{printed}");
    assert!(!printed.contains("nobody's business"), "{printed}");
    assert!(!printed.contains("root:$") && !printed.contains("root:*"), "{printed}");
}

#[test]
fn the_agent_has_no_privileges() {
    let printed = printed("id -u; grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/self/status");
    for must in [
        "1000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(printed.contains(must), "{must}: {printed}");
    }
}

#[test]
fn nothing_outside_of_the_workspace_can_be_written() {
    let printed = printed(
        "for place in / /usr /etc /custody /opt /proc/sys/kernel /sys; do touch $place/x 2>/dev/null && echo WROTE $place; done
echo x >/etc/passwd; mount -t tmpfs none /mnt && echo MOUNTED; echo the-end",
    );
    assert!(printed.contains("the-end"), "{printed}");
    assert!(!printed.contains("WROTE") && !printed.contains("MOUNTED"), "{printed}");
}

#[test]
fn other_processes_are_out_of_sight_and_reach() {
    let outside = std::process::id();
    let printed = printed(&format!(
        "kill -0 {outside} && echo REACHED; ls /proc | grep -c '^[0-9]'; echo the-end"
    ));
    assert!(printed.contains("the-end") && !printed.contains("REACHED"), "{printed}");
}

#[test]
fn a_fork_bomb_ends_at_the_limit_and_the_session_ends_with_it() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; echo the-end";
    let output = installation.run(&repository, &["--processes", "40"], script);
    assert!(output.text().contains("fork"), "the shell says what failed: {}", output.text());
    assert_met_a_limit(&installation, LimitName::Processes, "limit of processes");
}

/// The record of a session that was not stopped at a limit, and whose command felt it, names the limit.
fn assert_met_a_limit(installation: &Installation, limit: LimitName, words: &str) {
    let record = installation.record(installation.session());
    let closed = record.closed();
    assert_eq!((closed.code, closed.limit), (Some(ClosingCode::CommandEnded), Some(limit)));
    assert_eq!(closed.outcome, Outcome::Completed);
    assert!(closed.reason.contains(words), "{}", closed.reason);
}

#[test]
fn a_command_that_takes_too_much_memory_is_killed_and_its_record_says_at_which_limit() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let script = "head -c 400000000 /dev/zero | tail; echo the-end $?";
    let output = installation.run(&repository, &["--memory", "64MiB"], script);
    assert_eq!(output.code, Some(0), "{}", output.text());
    assert!(output.text().contains("the-end 137"), "{}", output.text());
    assert_met_a_limit(&installation, LimitName::MemoryBytes, "memory limit");
}

#[test]
fn a_session_in_which_nothing_happens_ends_at_its_idle_limit() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let idle = POLICY.replace("paths:", "limits: { default: { idle: 1s } }\npaths:");
    let policy = installation.policy(&idle);
    let output = installation.run(&repository, &["--policy", &policy], "sleep 600");
    assert_eq!(output.code, Some(73), "{}", output.text());
    assert_says_which_limit(&installation, &repository, LimitName::IdleSeconds);
}

#[test]
fn a_file_of_holes_is_no_larger_than_the_disk_may_be() {
    let (installation, repository) = (Installation::new(), Repository::example());
    // Twenty gigabytes are what the built-in policy allows; nothing of them would be on the disk.
    let script =
        "truncate -s 16T holes || echo REFUSED; truncate -s 16M small && rm small && echo SMALL";
    let output = installation.run(&repository, &[], script);
    assert!(
        output.text().contains("REFUSED") && output.text().contains("SMALL"),
        "{}",
        output.text()
    );
}

/// The record, the list and the summary name the limit by its code.
fn assert_says_which_limit(installation: &Installation, repository: &Repository, limit: LimitName) {
    let record = installation.record(installation.session());
    let closed = record.closed();
    assert_eq!((closed.code, closed.limit), (Some(ClosingCode::LimitReached), Some(limit)));
    let code = serde_json::to_value(limit).expect("JSON");
    let custody = |words: &[&str]| {
        let output = installation.custody(repository.path(), words).succeeded();
        output.json().to_string()
    };
    let list = custody(&["--output", "json", "session", "list"]);
    assert!(list.contains(&format!("\"limit\":{code}")), "{list}");
    let show = custody(&["--output", "json", "session", "show", "last"]);
    assert!(show.contains("\"code\":\"limit_reached\""), "{show}");
    assert!(show.contains("\"mediation\":\"observed\""), "{show}");
}

#[test]
fn a_record_that_grows_for_ever_ends_the_session_at_its_disk_limit() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let policy = installation
        .policy(&POLICY.replace("paths:", "limits: { default: { disk: 1MiB } }\npaths:"));
    let script = "while :; do : >made; rm made; done";
    let output = installation.run(&repository, &["--policy", &policy, "--timeout", "2m"], script);
    assert!(output.text().contains("its record"), "{}", output.text());
    assert_eq!(output.code, Some(73), "{}", output.text());
    assert_says_which_limit(&installation, &repository, LimitName::DiskBytes);
    let verified = installation.verify(installation.session());
    assert_eq!(
        verified.code,
        Some(0),
        "what was done is on record to the end: {}",
        verified.text()
    );
}

#[test]
fn the_wall_time_ends_a_session_that_does_not_end() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let output = installation.run(
        &repository,
        &["--timeout", "2s"],
        "trap '' TERM; while :; do sleep 1; done",
    );
    assert_eq!(output.code, Some(73), "{}", output.text());
    let record = installation.record(installation.session());
    assert_eq!(record.closed().outcome, Outcome::Stopped);
    // The command ignores SIGTERM, so SIGKILL ends it.
    assert_eq!(record.closed().exit, Some(ExitStatus::Signal(9)));
    assert_says_which_limit(&installation, &repository, LimitName::WallSeconds);
    assert!(record.closed().reason.contains("wall time"), "{}", record.closed().reason);
}
