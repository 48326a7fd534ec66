//! What can't be told to the installation log does not begin, gives nothing out, and ends.

use std::fs;
use std::process::{Command, Stdio};

use custody_tests::deadline::until;
use custody_tests::{Installation, Repository};

/// Exit code where the record can't be written.
const UNWRITABLE: i32 = 71;

/// Ways to damage a log's checkpoint.
fn damage(path: &std::path::Path, how: &str) {
    let whole = fs::read(path).expect("readable");
    match how {
        "removed" => fs::remove_file(path).expect("removed"),
        "emptied" => fs::write(path, "").expect("written"),
        _ => fs::write(path, &whole[..whole.len() / 2]).expect("written"),
    }
}

#[test]
fn nothing_begins_on_an_installation_log_that_takes_no_head() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &[], "echo one >one.txt").succeeded();
    let checkpoint = installation.state().join("log/checkpoint");
    let whole = fs::read(&checkpoint).expect("readable");
    for how in ["removed", "emptied", "cut in half"] {
        fs::write(&checkpoint, &whole).expect("written");
        damage(&checkpoint, how);
        let refused = installation.run(&repository, &[], "echo two >two.txt");
        assert_eq!(refused.code, Some(UNWRITABLE), "{how}: {}", refused.text());
        assert!(refused.text().contains("installation log"), "{how}: {}", refused.text());
        assert_eq!(installation.sessions().len(), 1, "{how}: no session came to be");
        let served =
            installation.custody(installation.state(), &["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(served.code, Some(UNWRITABLE), "{how}: {}", served.text());
        let found = installation.custody(installation.state(), &["fsck", "--quiet"]);
        assert_eq!(found.code, Some(68), "{how}: {}", found.text());
        assert!(found.text().contains("installation_log_"), "{how}: {}", found.text());
        let kept = fs::read(&checkpoint).unwrap_or_default();
        assert!(kept.len() < whole.len(), "{how}: nobody began the log anew");
    }
    // With its checkpoint back everything goes on.
    fs::write(&checkpoint, &whole).expect("written");
    let _ = installation.custody(installation.state(), &["fsck", "--quiet"]).succeeded();
    let _ = installation.run(&repository, &[], "true").succeeded();
}

#[test]
fn a_session_whose_end_cant_be_logged_publishes_nothing_loses_nothing_and_ends() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let words = ["run", "--", "sh", "-c", "echo made >made.txt; cat"];
    let mut command = installation.command(repository.path(), &words);
    let mut running = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("custody starts");
    let state = installation.state();
    let upper = until("what the session wrote", || {
        let session = installation.sessions().first().copied()?;
        let upper = installation.directory(session).join("workspace/upper/made.txt");
        fs::read(&upper).is_ok_and(|bytes| bytes == b"made\n").then_some(upper)
    });
    let session = installation.session();
    let record = installation.directory(session).join("record");
    until("a head of it", || record.join("living.checkpoint").exists().then_some(()));
    let checkpoint = state.join("log/checkpoint");
    let whole = fs::read(&checkpoint).expect("readable");
    damage(&checkpoint, "emptied");
    drop(running.stdin.take());
    let ended = running.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "{said}");

    let branches = || {
        let mirrors = fs::read_dir(state.join("repositories")).expect("readable").flatten();
        let mirror = mirrors.map(|entry| entry.path()).find(|path| path.join("HEAD").exists());
        let output = Command::new("git")
            .args(["for-each-ref", "--format=%(refname)"])
            .current_dir(mirror.expect("a mirror"))
            .output()
            .expect("git starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!branches().contains(&session.to_string()), "{}", branches());
    assert_eq!(fs::read(&upper).expect("kept"), b"made\n", "what it wrote is kept");
    let listed = || installation.custody(state, &["session", "list"]).succeeded().stdout;
    until("the end of the session", || listed().contains("failed").then_some(()));

    // Once the log is whole again, the next command seals what was kept, and nothing runs again.
    fs::write(&checkpoint, &whole).expect("written");
    until("the seal", || {
        let _rows = listed();
        record.join("checkpoint").exists().then_some(())
    });
    let verified = installation.verify(session);
    assert!(verified.text().contains("intact"), "{}", verified.text());
    let events = installation.record(session);
    let count = |kind: &str| {
        events.events().iter().filter(|event| event.body.event_type().as_str() == kind).count()
    };
    assert_eq!((count("session.started"), count("session.closed")), (1, 1));
    assert!(listed().contains("failed"), "{}", listed());
    assert_eq!(fs::read(&upper).expect("kept"), b"made\n");
    let _ = installation.custody(state, &["fsck", "--quiet"]).succeeded();
}
