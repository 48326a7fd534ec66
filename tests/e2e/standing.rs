//! A sealed session is sealed, whatever is put beside its record; a session whose record is gone is lost, and never run again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};

use custody_model::SessionId;
use custody_tests::deadline::until;
use custody_tests::{Installation, Output, Repository, Server, keeper};
use serde_json::Value;

/// Exit code of what is damaged.
const DAMAGED: i32 = 68;

/// A script that goes on once it gets the signal SIGUSR1 (10).
const SCRIPT: &str = "trap 'go=1' USR1; cat README.md; echo one >one.txt; \
                      while test -z \"$go\"; do sleep 0.05; done; cat README.md; echo two >two.txt";

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![dir.to_path_buf()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(&path).expect("readable");
                found.insert(path.strip_prefix(dir).expect("below").to_path_buf(), bytes);
            }
        }
    }
    found
}

fn say(installation: &Installation, words: &[&str]) -> Output {
    installation.custody(installation.state(), words)
}

fn ended(mut child: Child) -> ExitStatus {
    child.wait().expect("it ends")
}

/// Runs a session to its seal; what its journal held in the middle.
fn sealed_with_copy(installation: &Installation, repository: &Repository) -> (SessionId, Vec<u8>) {
    let before = installation.sessions();
    let child = installation.start(repository, &["-q"], SCRIPT);
    let session = until("the session", || {
        installation.sessions().into_iter().find(|session| !before.contains(session))
    });
    let directory = installation.directory(session);
    let written = directory.join("workspace/upper/one.txt");
    until("the first file", || written.exists().then_some(()));
    let journal = directory.join("record/journal");
    let copy = until("events in the journal", || {
        let bytes = fs::read(&journal).ok()?;
        (bytes.len() > 2000).then_some(bytes)
    });
    let _ = say(installation, &["session", "signal", &session.to_string(), "10"]).succeeded();
    assert!(ended(child).success());
    (session, copy)
}

/// What people are told of a session.
fn told(installation: &Installation, session: SessionId) -> BTreeMap<&'static str, String> {
    let id = session.to_string();
    let said = |words: &[&str]| say(installation, words).succeeded().stdout;
    let mut report: Value =
        serde_json::from_str(&said(&["verify", &id, "-o", "json"])).expect("JSON");
    report["findings"] = Value::Null;
    BTreeMap::from([
        ("verify", report.to_string()),
        ("show", said(&["session", "show", &id])),
        ("events", said(&["session", "events", &id, "-o", "json"])),
        ("list", said(&["session", "list"])),
    ])
}

#[test]
fn a_journal_that_was_copied_in_the_middle_changes_nothing_beside_the_seal() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let (session, copy) = sealed_with_copy(&installation, &repository);
    let directory = installation.directory(session);
    let record = directory.join("record");
    let (before, genuine) = (told(&installation, session), files(&record));
    let logged = files(&installation.state().join("log"));

    // The copy is put back, with what the keeper of a session has that lives.
    fs::write(record.join("journal"), &copy).expect("written");
    fs::create_dir_all(directory.join("run")).expect("made");
    fs::write(directory.join("run/keeper.lock"), "").expect("written");
    for name in ["upper", "work"] {
        fs::create_dir_all(directory.join("workspace").join(name)).expect("made");
    }
    let whole = || {
        let mut found = files(&record);
        found.remove(Path::new("journal"));
        assert!(found == genuine, "what was sealed is as it was");
        assert!(files(&installation.state().join("log")) == logged, "nothing was sealed again");
    };
    assert_eq!(told(&installation, session), before);
    let verified = installation.verify(session).succeeded();
    assert!(verified.text().contains("unsealed_beside_seal"), "{}", verified.text());
    whole();
    let question = ["investigate", "README.md", "-o", "json"];
    let _asked = installation.custody(repository.path(), &question);
    let _ = say(&installation, &["reindex"]).succeeded();
    assert_eq!(told(&installation, session), before);
    whole();
    let mut server = Server::start(&installation);
    let id = session.to_string();
    let shown = server.custody(&server.admin(), installation.state(), &["session", "show", &id]);
    assert!(shown.succeeded().stdout.contains("two.txt"));
    assert_eq!(server.stop(), Some(0));
    whole();

    // It is named and moved aside, and then nothing is left of it.
    let fsck = say(&installation, &["fsck", "-o", "json"]);
    assert_eq!(fsck.code, Some(DAMAGED), "{}", fsck.text());
    let damage = fsck.json()["damage"].clone();
    let codes: Vec<&str> =
        damage.as_array().expect("a list").iter().filter_map(|d| d["code"].as_str()).collect();
    assert!(codes.contains(&"unsealed_beside_seal"), "{codes:?}");
    assert!(!record.join("journal").exists());
    let kept = files(&installation.state().join("quarantine"));
    assert!(kept.values().any(|bytes| *bytes == copy), "its bytes are kept");
    whole();
    let again = say(&installation, &["fsck"]).succeeded();
    assert!(again.text().contains("nothing is damaged"), "{}", again.text());
    assert_eq!(told(&installation, session), before);
}

fn state_of(installation: &Installation, session: SessionId) -> (String, String) {
    let listed = say(installation, &["session", "list", "-o", "json"]).succeeded().json();
    let listed = listed.as_array().expect("a list").clone();
    let id = session.to_string();
    let row = listed.iter().find(|row| row["id"] == id.as_str()).expect("it is listed");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&row["state"]["state"]), text(&row["state"]["reason"]))
}

/// Removes something of a session, and lets every command look that might take it for one to launch.
fn assert_lost(remove: &dyn Fn(&Path), first: &[&str], what: &str) {
    let (installation, repository) = (Installation::new(), Repository::example());
    for name in ["other", "x"] {
        // Where no session has a directory, a disk is missing, and nobody is called lost.
        let script = format!("cat README.md; echo x >{name}.txt");
        let _ = installation.run(&repository, &["-q"], &script).succeeded();
    }
    let session = installation.sessions()[1];
    let (id, directory) = (session.to_string(), installation.directory(session));
    remove(&directory);
    let never_again = |when: &str| {
        assert!(!directory.join("record/journal").exists(), "{what}, {when}: no record is begun");
        assert!(!directory.join("record/checkpoint").exists(), "{what}, {when}: none is sealed");
        assert_eq!(keeper::find(session), None, "{what}, {when}: nobody keeps it");
    };
    if first == ["serve"] {
        let mut server = Server::start(&installation);
        let _ =
            server.custody(&server.admin(), installation.state(), &["session", "list"]).succeeded();
        assert_eq!(server.stop(), Some(0));
    } else {
        let said = say(&installation, first);
        assert!(matches!(said.code, Some(0 | DAMAGED)), "{what}: {first:?}: {}", said.text());
    }
    never_again("after the first command");
    let _ = say(&installation, &["session", "list"]).succeeded();
    never_again("after a list");
    let reindexed = say(&installation, &["reindex"]);
    never_again("after the reindex");
    let (state, reason) = state_of(&installation, session);
    assert_eq!(state, "lost", "{what} {first:?}: {}", reindexed.text());
    assert!(reason.contains("backup"), "{what}: it says what to do: {reason}");
    let shown = say(&installation, &["session", "show", &id]).succeeded();
    assert!(shown.text().contains("lost"), "{what}: {}", shown.text());
    let verified = installation.verify(session);
    assert_eq!(verified.code, Some(DAMAGED), "{what}: {}", verified.text());
    assert!(verified.text().contains("session_lost"), "{what}: {}", verified.text());
    let fsck = say(&installation, &["fsck"]);
    assert_eq!(fsck.code, Some(DAMAGED), "{what}: {}", fsck.text());
    assert!(
        fsck.text().contains(&id) && fsck.text().contains("session_lost"),
        "{what}: {}",
        fsck.text()
    );
    never_again("after all");
}

#[test]
fn a_session_whose_record_is_removed_is_lost_whoever_looks_first() {
    let record = |directory: &Path| fs::remove_dir_all(directory.join("record")).expect("removed");
    for first in [&["fsck"] as &[&str], &["reindex"], &["session", "list"], &["serve"]] {
        assert_lost(&record, first, "the record is removed");
    }
}

#[test]
fn a_session_is_lost_however_much_of_its_directory_is_gone() {
    let whole = |directory: &Path| fs::remove_dir_all(directory).expect("removed");
    assert_lost(&whole, &["reindex"], "the whole directory is removed");
    let both = |directory: &Path| {
        fs::remove_dir_all(directory.join("record")).expect("removed");
        fs::remove_file(directory.join("begun")).expect("removed");
    };
    assert_lost(&both, &["reindex"], "the record and the keeper's mark are removed");
}

#[test]
fn a_lost_session_whose_directory_comes_back_is_told_as_both() {
    let (installation, repository) = (Installation::new(), Repository::example());
    for name in ["other", "x"] {
        let _ = installation.run(&repository, &["-q"], &format!("echo x >{name}.txt")).succeeded();
    }
    let session = installation.sessions()[1];
    let (directory, backup) =
        (installation.directory(session), installation.state().join("backup"));
    fs::rename(&directory, &backup).expect("moved");
    let _lost = say(&installation, &["reindex"]);
    assert_eq!(state_of(&installation, session).0, "lost");
    fs::rename(&backup, &directory).expect("moved back");
    let verified = installation.verify(session).succeeded();
    assert!(verified.text().contains("intact"), "{}", verified.text());
    assert!(verified.text().contains("session_lost"), "{}", verified.text());
    assert_eq!(state_of(&installation, session).0, "lost");
    let fsck = say(&installation, &["fsck"]);
    assert!(fsck.text().contains("session_returned"), "{}", fsck.text());
    let _ = say(&installation, &["reindex"]).succeeded();
    assert_eq!(state_of(&installation, session).0, "lost", "the logs say so");
}

#[test]
fn a_dead_keepers_torn_journal_is_closed_as_interrupted() {
    let repository = Repository::example();
    let mut tails: Vec<Vec<u8>> = vec![vec![0; 1], vec![0; 4096], vec![0; 100_000]];
    tails.push([&200_u32.to_le_bytes()[..], &[0; 60]].concat());
    for tail in tails {
        let installation = Installation::new();
        let child = installation.start(&repository, &["-q"], SCRIPT);
        let session = until("the session", || installation.sessions().first().copied());
        let directory = installation.directory(session);
        let written = directory.join("workspace/upper/one.txt");
        until("the first file", || written.exists().then_some(()));
        let mut command = child;
        command.kill().expect("the command is killed");
        let _ = command.wait();
        assert!(keeper::kill(session), "it has a keeper");
        until("the keeper's end", || keeper::find(session).is_none().then_some(()));
        let journal = directory.join("record/journal");
        let bytes = fs::read(&journal).expect("readable");
        fs::write(&journal, [bytes.as_slice(), &tail].concat()).expect("written");
        let _server = Server::start(&installation);
        let state = until("its end", || {
            let (state, _) = state_of(&installation, session);
            (state != "running" && state != "provisioning").then_some(state)
        });
        assert_eq!(state, "interrupted", "{} bytes", tail.len());
        let verified = installation.verify(session);
        assert_eq!(verified.code, Some(69), "intact, not complete: {}", verified.text());
        assert!(verified.text().contains("torn bytes were cut off"), "{}", verified.text());
    }
}

/// Nobody has to keep a server running for it.
#[test]
fn the_next_command_closes_a_dead_keepers_record_and_says_how_it_ended() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let mut command = installation.start(&repository, &["-q"], SCRIPT);
    let session = until("the session", || installation.sessions().first().copied());
    let written = installation.directory(session).join("workspace/upper/one.txt");
    until("the first file", || written.exists().then_some(()));
    command.kill().expect("the command is killed");
    let _ = command.wait();
    assert!(keeper::kill(session), "it has a keeper");
    until("the keeper's end", || keeper::find(session).is_none().then_some(()));
    // The kernel takes a moment to free what the keeper held.
    let listed = until("the record's end", || {
        let listed = installation.custody(installation.state(), &["session", "list"]).succeeded();
        listed.text().contains("its record is being closed").then_some(listed)
    });
    assert!(listed.text().contains(" interrupted "), "{}", listed.text());
    assert_eq!(installation.verify(session).code, Some(69), "intact, not complete");
    let listed = installation.custody(installation.state(), &["session", "list"]).succeeded();
    assert!(!listed.text().contains("being closed"), "once: {}", listed.text());
}

#[test]
fn where_no_session_has_a_directory_a_disk_is_missing_and_nobody_is_lost() {
    let (installation, repository) = (Installation::new(), Repository::example());
    let _ = installation.run(&repository, &["-q"], "echo x >x.txt").succeeded();
    let session = installation.session();
    let (sessions, away) =
        (installation.state().join("sessions"), installation.state().join("away"));
    fs::rename(&sessions, &away).expect("moved");
    let _said = say(&installation, &["reindex"]);
    let _said = say(&installation, &["session", "list"]);
    let _said = say(&installation, &["fsck"]);
    assert!(!installation.directory(session).join("record").exists(), "it is not run again");
    let _ = fs::remove_dir_all(&sessions);
    fs::rename(&away, &sessions).expect("moved back");
    let _ = say(&installation, &["reindex"]).succeeded();
    assert_eq!(state_of(&installation, session).0, "sealed");
    let _ = installation.verify(session).succeeded();
}
